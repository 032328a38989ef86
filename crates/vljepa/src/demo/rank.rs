//! Where the right candidate stands.

/// Rank of the right candidate, from 1; candidates with the same cosine rank before it.
pub(super) fn place(cosines: &[f32], truth: usize) -> usize {
    cosines.iter().filter(|&&c| c >= cosines[truth]).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_from_one_and_ties_count_against_the_model() {
        assert_eq!(place(&[0.5, 0.9, 0.5], 1), 1);
        assert_eq!(place(&[0.5, 0.9, 0.5], 0), 3);
        assert_eq!(place(&[f32::NAN, 0.1], 0), 1);
    }
}
