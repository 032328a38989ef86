//! Moving and dropping elements.

use crate::ops::Dropout;

/// Rows of a table of `cols` columns; a row of NaN for an id out of range.
pub fn gather_rows(table: &[f32], cols: usize, ids: &[u32]) -> Vec<f32> {
    let row = |&id: &u32| table.chunks(cols).nth(id as usize).map_or(vec![f32::NAN; cols], <[f32]>::to_vec);
    ids.iter().flat_map(row).collect()
}

/// Sums rows into a table of zeros; ids out of range are left out.
pub fn scatter_add(x: &[f32], cols: usize, ids: &[u32], table_rows: usize) -> Vec<f32> {
    let mut table = vec![0.0f64; table_rows * cols];
    for (row, &id) in x.chunks(cols).zip(ids).filter(|&(_, &id)| (id as usize) < table_rows) {
        for (c, &v) in row.iter().enumerate() {
            table[id as usize * cols + c] += f64::from(v);
        }
    }
    table.into_iter().map(|v| v as f32).collect()
}

/// The axes of a tensor in another order.
pub fn permute(x: &[f32], shape: &[usize], axes: &[usize]) -> Vec<f32> {
    let to: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
    let place = |mut i: usize| {
        let mut from = 0;
        for (&size, &axis) in to.iter().zip(axes).rev() {
            from += i % size * shape[axis + 1..].iter().product::<usize>();
            i /= size;
        }
        from
    };
    (0..x.len()).map(|i| x[place(i)]).collect()
}

/// Random bits of a counter: pcg4d, as `shared/random.wgsl`.
pub fn random4(counter: [u32; 4]) -> [u32; 4] {
    let mut v = counter.map(|c| c.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let mix = |v: &mut [u32; 4]| {
        v[0] = v[0].wrapping_add(v[1].wrapping_mul(v[3]));
        v[1] = v[1].wrapping_add(v[2].wrapping_mul(v[0]));
        v[2] = v[2].wrapping_add(v[0].wrapping_mul(v[1]));
        v[3] = v[3].wrapping_add(v[1].wrapping_mul(v[2]));
    };
    mix(&mut v);
    v = v.map(|c| c ^ (c >> 16));
    mix(&mut v);
    v
}

/// Dropout.
pub fn dropout(x: &[f32], options: &Dropout) -> Vec<f32> {
    let threshold = (options.p * 4_294_967_296.0) as u32;
    let one = |(i, &x): (usize, &f32)| {
        let bits = random4([i as u32, options.step, options.seed as u32, (options.seed >> 32) as u32])[0];
        if bits >= threshold { (f64::from(x) / (1.0 - options.p)) as f32 } else { 0.0 }
    };
    x.iter().enumerate().map(one).collect()
}
