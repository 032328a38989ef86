// Sizes of a batched matrix product and what happens to its elements. Strides count elements; a batch stride of zero
// shares the operand.

struct MatmulParams {
    m: u32,
    n: u32,
    k: u32,
    batch: u32,
    a_row: u32,
    a_col: u32,
    b_row: u32,
    b_col: u32,
    a_batch: u32,
    b_batch: u32,
    alpha: f32,
    // 1 with a bias, plus 2 with a residual, plus 4 where the rows of b have scales.
    epilogue: u32,
}
