// Which pairs of a contrastive loss are positives and which count as negatives. Included by contrast*.wgsl, which
// declare `targets` and `keys`.
//   HAS_TARGETS by override: the own column of a row is targets[row], else row.
//   DUPLICATES by override: other columns whose key equals that of the own column are
//     0 negatives   1 left out of the loss   2 positives of equal weight
override HAS_TARGETS: u32 = 0u;
override DUPLICATES: u32 = 0u;

fn own_column(row: u32) -> u32 {
    if HAS_TARGETS != 0u {
        return targets[row];
    }
    return row;
}

// Key of the own column; columns beyond the matrix make the loss invalid and need some key only.
fn own_key(own: u32, cols: u32) -> u32 {
    if DUPLICATES != 0u {
        return keys[min(own, cols - 1u)];
    }
    return 0u;
}

fn is_twin(column: u32, key: u32) -> bool {
    if DUPLICATES != 0u {
        return keys[column] == key;
    }
    return false;
}
