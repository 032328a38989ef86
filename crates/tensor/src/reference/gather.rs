//! Rows of tables by number.

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
