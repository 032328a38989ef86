// Which pairs of a contrastive loss are positives, which count as negatives, and how much each sample counts. Included by
// contrast*.wgsl, which declare `targets`, `keys` and `shares`.
//   HAS_TARGETS by override: the own column of a row is targets[row], else row.
//   DUPLICATES by override: other columns whose key equals that of the own column are
//     0 negatives   1 left out of the loss   2 positives of equal weight
//   HAS_SHARES by override: what belongs to sample i counts shares[i], else 1.
override HAS_TARGETS: u32 = 0u;
override DUPLICATES: u32 = 0u;
override HAS_SHARES: u32 = 0u;

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

// Its share of what belongs to a sample. Without a share the sample is left out, not multiplied by zero: it may be anything.
fn shared_out(value: f32, sample: u32) -> f32 {
    if HAS_SHARES != 0u {
        return select(shares[sample] * value, 0.0, shares[sample] == 0.0);
    }
    return value;
}
