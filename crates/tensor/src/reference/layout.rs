//! Reordered axes.

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
