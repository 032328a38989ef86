// The tile walk of the matrix products for adapters whose subgroups have exactly 8 lanes and whose loads cost more than
// their arithmetic (software Vulkan: every lane's load is a scalar gather).
// One subgroup owns 32 rows and 32 columns, or 64 where WIDE. Lane l loads rows 4 l .. 4 l + 4 of a, and every lane gets
// them by broadcast: one gather instead of eight. It holds columns 4 l .. 4 l + 4 of each 32. Four values of k at a time.
// Grid: tiles, rows fastest so that a panel of b stays in cache, folded (shared/index.wgsl).
// Sums in f32 in the order of k.
//
// The including kernel declares `params` and
//   fn load_a(z: u32, row: u32, k: u32) -> mat4x4<f32>   rows row .. row + 4 of a, each with k .. k + 4
//   fn load_b(z: u32, col: u32, k: u32) -> mat4x4<f32>   k .. k + 4 of b, each with columns col .. col + 4
//   fn store(z: u32, row: u32, col: u32, sum: vec4<f32>) columns col .. col + 4 of a row of c, those that exist
// Rows and columns behind the last ones may hold anything; they are never stored. Behind the last k both are zero.
//#include "shared/spread_rows.wgsl"

override WIDE: u32 = 1u;

const ROWS: u32 = 32u;

fn multiply(tile: u32, lane: u32) {
    let cols = 32u + 32u * WIDE;
    let tiles_m = (params.m + ROWS - 1u) / ROWS;
    let tiles_n = (params.n + cols - 1u) / cols;
    if tile >= tiles_m * tiles_n * params.batch {
        return;
    }
    let z = tile / (tiles_m * tiles_n);
    let row0 = (tile % tiles_m) * ROWS;
    let row = row0 + 4u * lane;
    let col = (tile / tiles_m % tiles_n) * cols + 4u * lane;

    // Of row j of each lane: the first 32 columns, and the second.
    var left0: PerLane;
    var left1: PerLane;
    var left2: PerLane;
    var left3: PerLane;
    var right0: PerLane;
    var right1: PerLane;
    var right2: PerLane;
    var right3: PerLane;
    for (var k = 0u; k < params.k; k += 4u) {
        let a = load_a(z, row, k);
        let b = load_b(z, col, k);
        add_rows(&left0, a[0], b);
        add_rows(&left1, a[1], b);
        add_rows(&left2, a[2], b);
        add_rows(&left3, a[3], b);
        if WIDE != 0u {
            let c = load_b(z, col + 32u, k);
            add_rows(&right0, a[0], c);
            add_rows(&right1, a[1], c);
            add_rows(&right2, a[2], c);
            add_rows(&right3, a[3], c);
        }
    }

    // One loop keeps the epilogue's code small; a trip count the compiler cannot know keeps it a loop.
    var sums = array<PerLane, 8>(left0, left1, left2, left3, right0, right1, right2, right3);
    let filled = min(params.m - row0, ROWS) * (1u + WIDE);
    for (var i = 0u; i < filled; i++) {
        let r = i / (1u + WIDE);
        let half = i % (1u + WIDE);
        store(z, row0 + r, col + 32u * half, sums[4u * half + r % 4u][r / 4u]);
    }
}
