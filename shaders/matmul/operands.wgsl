// Operands of the matrix products whose every operand is f32.
// a_data, b_data: any layout by row and column strides   bias: [n]   residual, c_data: [batch, m, n]
//#include "matmul/params.wgsl"

@group(0) @binding(0) var<storage, read> a_data: array<f32>;
@group(0) @binding(1) var<storage, read> b_data: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;
@group(0) @binding(4) var<storage, read_write> c_data: array<f32>;
@group(0) @binding(5) var<uniform> params: MatmulParams;
