//! Folding of long grids: one dimension holds at most 65,535 workgroups.

use crate::error::{Error, Result};

/// Folds `groups` workgroups into `(x, y, z)` with every dimension at most `limit` and as few surplus groups as a
/// near-square fold gives. Kernels linearise with `shared/index.wgsl` and guard their tail.
///
/// # Errors
/// [`Error::Limit`] when even three dimensions cannot hold them.
pub fn fold(groups: u64, limit: u32) -> Result<[u32; 3]> {
    let limit = u64::from(limit);
    let too_many = Error::Limit { what: "workgroups of a dispatch", requested: groups, limit: limit.saturating_pow(3) };
    if groups <= limit {
        return Ok([groups as u32, 1, 1]);
    }
    let rows = groups.div_ceil(limit);
    if rows <= limit {
        return Ok([groups.div_ceil(rows) as u32, rows as u32, 1]);
    }
    let planes = groups.div_ceil(limit * limit);
    if planes > limit {
        return Err(too_many);
    }
    let per_plane = groups.div_ceil(planes);
    let rows = per_plane.div_ceil(limit);
    Ok([per_plane.div_ceil(rows) as u32, rows as u32, planes as u32])
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn folds_cover_and_waste_little() {
        for limit in [3u32, 7, 65_535] {
            for n in [1u64, 2, 3, 4, 9, 26, 27, 65_535, 65_536, 70_001, 1 << 20] {
                match fold(n, limit) {
                    Ok(g) => {
                        let total = g.iter().map(|&d| u64::from(d)).product::<u64>();
                        assert!(g.iter().all(|&d| d >= 1 && d <= limit), "{n} {limit} {g:?}");
                        assert!(
                            total >= n
                                && total - n < u64::from(g[1]) * u64::from(g[2]) + u64::from(g[2]) * u64::from(limit)
                        );
                    }
                    Err(_) => assert!(n > u64::from(limit).pow(3)),
                }
            }
        }
        assert_eq!(fold(65_536, 65_535).unwrap(), [32_768, 2, 1]);
    }
}
