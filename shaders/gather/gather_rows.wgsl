// Rows of a table by number, or of one part of a table that no single binding holds: token embeddings.
//   y[i, c] = part[ids[i] - first_row, c]        NaN where ids[i] >= table_rows; rows of other parts stay as they are
// part: [part_rows, cols]   FORMAT 0: f32   1: f16, two to a word   2: i8, four to a word, behind them a scale a row
// ids: [rows]   y: [rows, cols]
// An invocation copies `chunk` neighbours of a row: 1 on GPUs, more on software adapters, where divisions are dear.
// Grid: chunks, folded (shared/index.wgsl).
//#include "shared/index.wgsl"

struct GatherRowsParams {
    rows: u32,
    cols: u32,
    table_rows: u32,
    first_row: u32,
    part_rows: u32,
    chunk: u32,
}

@group(0) @binding(0) var<storage, read> part: array<u32>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<uniform> params: GatherRowsParams;

override FORMAT: u32 = 0u;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_invocation(group, groups, local, 64u);
    let per_row = (params.cols + params.chunk - 1u) / params.chunk;
    let row = i / per_row;
    if row >= params.rows {
        return;
    }
    let id = ids[row];
    let known = id < params.table_rows;
    let local_row = id - params.first_row;
    if known && (id < params.first_row || local_row >= params.part_rows) {
        return;
    }
    let source_row = min(local_row, params.part_rows - 1u);
    let source = source_row * params.cols;
    var scale = 1.0;
    if FORMAT == 2u {
        scale = bitcast<f32>(part[(params.part_rows * params.cols + 3u) / 4u + source_row]);
    }
    let first = (i % per_row) * params.chunk;
    let end = min(first + params.chunk, params.cols);
    for (var c = first; c < end; c++) {
        let at = source + c;
        var bits: u32;
        if FORMAT == 1u {
            bits = bitcast<u32>(unpack2x16float(part[at / 2u] >> (16u * (at % 2u))).x);
        } else if FORMAT == 2u {
            bits = bitcast<u32>(scale * f32(extractBits(bitcast<i32>(part[at / 4u]), 8u * (at % 4u), 8u)));
        } else {
            bits = part[at];
        }
        y[row * params.cols + c] = select(0x7fc00000u, bits, known);
    }
}
