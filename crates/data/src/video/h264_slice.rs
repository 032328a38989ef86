//! The header of an H.264 slice, held against the limits of the standard before a decoder believes it (7.3.3).

use super::h264_bits::{Bits, Checked, within};
use super::h264_params::{Pps, Sps};

/// 32 fields are references at most, and each is named at most twice; operations 4, 5 and 6 come once each.
const MAX_MARKING_OPS: usize = 67;

/// How a slice is predicted (Table 7-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SliceType {
    P,
    B,
    I,
}

/// Which lines of a frame a picture has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Structure {
    Frame,
    Top,
    Bottom,
}

/// A memory management control operation (7.4.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marking {
    /// By difference_of_pic_nums_minus1.
    ShortUnused(u32),
    /// By long_term_pic_num.
    LongUnused(u32),
    /// By difference_of_pic_nums_minus1, to long_term_frame_idx.
    ShortToLong(u32, u32),
    /// max_long_term_frame_idx_plus1.
    MaxLong(u32),
    AllUnused,
    /// The picture itself, to long_term_frame_idx.
    CurrentToLong(u32),
}

/// A slice header as far as the order and the life of pictures depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub first_mb: u32,
    pub kind: SliceType,
    /// Equal in all slices of a picture (7.4.1.2.4 and 7.4.3).
    pub picture: Picture,
}

/// What all slices of a picture say alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub sps: u32,
    pub idr: bool,
    pub reference: bool,
    pub frame_num: u32,
    pub structure: Structure,
    /// Of an IDR picture: it is a long-term reference.
    pub long_term: bool,
    /// `None`: the sliding window.
    pub markings: Option<Vec<Marking>>,
}

const SLICE: &str = "7.4.3";

/// The parameter set that a slice is coded by, which the rest of its header depends on.
pub(super) fn pps_id(rbsp: &[u8]) -> Checked<u32> {
    let mut bits = Bits::new(rbsp);
    bits.ue("first_mb_in_slice")?;
    bits.ue("slice_type")?;
    bits.ue_in("pic_parameter_set_id", 0..=255, SLICE)
}

impl Slice {
    /// Reads the payload of NAL unit type 1, or 5 where `idr`.
    pub fn parse(rbsp: &[u8], idr: bool, reference: bool, sps: &Sps, pps: &Pps) -> Checked<Self> {
        let mut bits = Bits::new(rbsp);
        let first_mb = bits.ue("first_mb_in_slice")?;
        let kind = match bits.ue_in("slice_type", 0..=9, SLICE)? % 5 {
            0 => SliceType::P,
            1 => SliceType::B,
            2 => SliceType::I,
            _ => return Err("its slices are of type SP or SI, which are not supported".into()),
        };
        bits.ue_in("pic_parameter_set_id", 0..=255, SLICE)?;
        if sps.separate_planes {
            return Err("its colours are coded apart, which is not supported".into());
        }
        let frame_num = bits.bits("frame_num", sps.frame_num_bits)?;
        let mut structure = Structure::Frame;
        if !sps.frame_mbs_only && bits.bit("field_pic_flag")? {
            structure = if bits.bit("bottom_field_flag")? { Structure::Bottom } else { Structure::Top };
        }
        let field = structure != Structure::Frame;
        // PicSizeInMbs, 7-34; a pair of macroblocks has one address where each pair chooses between frame and field.
        let mbs = sps.form.mbs() / if field || sps.mbaff { 2 } else { 1 };
        within("first_mb_in_slice", i64::from(first_mb), 0..=mbs as i64 - 1, SLICE)?;
        if idr {
            bits.ue_in("idr_pic_id", 0..=65_535, SLICE)?;
        }
        if sps.poc_type == 0 {
            bits.bits("pic_order_cnt_lsb", sps.poc_lsb_bits)?;
            if pps.bottom_field_poc && !field {
                bits.se("delta_pic_order_cnt_bottom")?;
            }
        } else if sps.poc_type == 1 && !sps.delta_poc_always_zero {
            bits.se("delta_pic_order_cnt")?;
            if pps.bottom_field_poc && !field {
                bits.se("delta_pic_order_cnt")?;
            }
        }
        if pps.redundant_pictures {
            return Err("it has redundant pictures, which are not supported".into());
        }
        if kind == SliceType::B {
            bits.bit("direct_spatial_mv_pred_flag")?;
        }
        let lists = match kind {
            SliceType::I => 0,
            SliceType::P => 1,
            SliceType::B => 2,
        };
        let refs = active_refs(&mut bits, lists, field, pps)?;
        for (list, count) in refs.iter().enumerate().take(lists) {
            list_modification(&mut bits, list, *count, sps, field)?;
        }
        if (kind == SliceType::P && pps.weighted_p) || (kind == SliceType::B && pps.weighted_b == 1) {
            weights(&mut bits, &refs[..lists], sps.form.chroma != 0)?;
        }
        let (mut long_term, mut markings) = (false, None);
        if idr {
            bits.bit("no_output_of_prior_pics_flag")?;
            long_term = bits.bit("long_term_reference_flag")?;
        } else if reference && bits.bit("adaptive_ref_pic_marking_mode_flag")? {
            markings = Some(read_markings(&mut bits, sps, field)?);
        }
        if pps.cabac && kind != SliceType::I {
            bits.ue_in("cabac_init_idc", 0..=2, SLICE)?;
        }
        let delta = bits.se("slice_qp_delta")?;
        // SliceQPY, 7-30, within -QpBdOffsetY to 51.
        let lowest = -6 * (i64::from(sps.form.depth) - 8);
        within("SliceQPY", i64::from(pps.init_qp) + i64::from(delta), lowest..=51, SLICE)?;
        if pps.deblocking_control && bits.ue_in("disable_deblocking_filter_idc", 0..=2, SLICE)? != 1 {
            bits.se_in("slice_alpha_c0_offset_div2", -6..=6, SLICE)?;
            bits.se_in("slice_beta_offset_div2", -6..=6, SLICE)?;
        }
        let picture = Picture { sps: sps.id, idr, reference, frame_num, structure, long_term, markings };
        Ok(Self { first_mb, kind, picture })
    }
}

/// How many references each list has: 16 at most for a frame, 32 for a field.
fn active_refs(bits: &mut Bits<'_>, lists: usize, field: bool, pps: &Pps) -> Checked<[u32; 2]> {
    const NAMES: [&str; 2] = ["num_ref_idx_l0_active_minus1", "num_ref_idx_l1_active_minus1"];
    let mut refs = pps.default_refs;
    if lists > 0 && bits.bit("num_ref_idx_active_override_flag")? {
        for (list, count) in refs.iter_mut().enumerate().take(lists) {
            *count = bits.ue(NAMES[list])?.saturating_add(1);
        }
    }
    for (name, count) in NAMES.iter().zip(refs).take(lists) {
        within(name, i64::from(count) - 1, 0..=if field { 31 } else { 15 }, SLICE)?;
    }
    Ok(refs)
}

/// 7.3.3.1: no more commands than the list has entries.
fn list_modification(bits: &mut Bits<'_>, list: usize, count: u32, sps: &Sps, field: bool) -> Checked<()> {
    const SECTION: &str = "7.4.3.1";
    if !bits.bit("ref_pic_list_modification_flag")? {
        return Ok(());
    }
    let max_pic_num = sps.max_frame_num() * if field { 2 } else { 1 };
    for commands in 0..=count {
        match bits.ue_in("modification_of_pic_nums_idc", 0..=3, SECTION)? {
            3 => return Ok(()),
            _ if commands == count => break,
            2 => bits.ue_in("long_term_pic_num", 0..=31, SECTION)?,
            _ => bits.ue_in("abs_diff_pic_num_minus1", 0..=max_pic_num - 1, SECTION)?,
        };
    }
    Err(format!("list {list} of {count} references is changed more than {count} times (ITU-T H.264, {SECTION})"))
}

/// 7.3.3.2.
fn weights(bits: &mut Bits<'_>, refs: &[u32], chroma: bool) -> Checked<()> {
    const SECTION: &str = "7.4.3.2";
    bits.ue_in("luma_log2_weight_denom", 0..=7, SECTION)?;
    if chroma {
        bits.ue_in("chroma_log2_weight_denom", 0..=7, SECTION)?;
    }
    let pair = |bits: &mut Bits<'_>, weight, offset| -> Checked<()> {
        bits.se_in(weight, -128..=127, SECTION)?;
        bits.se_in(offset, -128..=127, SECTION)?;
        Ok(())
    };
    for _ in 0..refs.iter().sum() {
        if bits.bit("luma_weight_flag")? {
            pair(bits, "luma_weight", "luma_offset")?;
        }
        if chroma && bits.bit("chroma_weight_flag")? {
            pair(bits, "chroma_weight", "chroma_offset")?;
            pair(bits, "chroma_weight", "chroma_offset")?;
        }
    }
    Ok(())
}

/// 7.3.3.3.
fn read_markings(bits: &mut Bits<'_>, sps: &Sps, field: bool) -> Checked<Vec<Marking>> {
    const SECTION: &str = "7.4.3.3";
    let max_pic_num = sps.max_frame_num() * if field { 2 } else { 1 };
    let mut ops = Vec::new();
    loop {
        let difference =
            |bits: &mut Bits<'_>| bits.ue_in("difference_of_pic_nums_minus1", 0..=max_pic_num - 1, SECTION);
        let index = |bits: &mut Bits<'_>| bits.ue_in("long_term_frame_idx", 0..=15, SECTION);
        let op = match bits.ue_in("memory_management_control_operation", 0..=6, SECTION)? {
            0 => return Ok(ops),
            1 => Marking::ShortUnused(difference(bits)?),
            2 => Marking::LongUnused(bits.ue_in("long_term_pic_num", 0..=31, SECTION)?),
            3 => Marking::ShortToLong(difference(bits)?, index(bits)?),
            4 => Marking::MaxLong(bits.ue_in("max_long_term_frame_idx_plus1", 0..=16, SECTION)?),
            5 => Marking::AllUnused,
            _ => Marking::CurrentToLong(index(bits)?),
        };
        if ops.len() == MAX_MARKING_OPS {
            return Err(format!(
                "a slice has more than {MAX_MARKING_OPS} memory_management_control_operations (ITU-T H.264, {SECTION})"
            ));
        }
        ops.push(op);
    }
}

#[cfg(test)]
mod tests {
    use rust_h264::nal::parse_avcc_config;

    use super::*;

    /// Bits, written as text.
    fn bytes(code: &str) -> Vec<u8> {
        code.as_bytes().chunks(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | (bit - b'0'))).collect()
    }

    fn sps() -> Sps {
        let clip = include_bytes!("../../tests/fixtures/video/bframes.mp4");
        let avcc = clip.windows(4).position(|at| at == b"avcC").unwrap() + 4;
        Sps::parse(&parse_avcc_config(&clip[avcc..]).unwrap().sps_nals[0].rbsp).unwrap()
    }

    #[test]
    fn commands_of_a_slice_are_counted() {
        let sps = sps();
        // Command 5 is "00110", and 0, the end, is "1".
        let all_unused = |count: usize| bytes(&format!("{}1{:0<8}", "00110".repeat(count), ""));
        assert_eq!(read_markings(&mut Bits::new(&all_unused(67)), &sps, true).unwrap().len(), 67);
        let error = read_markings(&mut Bits::new(&all_unused(68)), &sps, true).unwrap_err();
        assert!(error.contains("more than 67 memory_management_control_operations"), "{error}");
        // Changing of a list: a flag, then commands 0, "1", with a difference of 1, "1"; 3, "00100", ends it.
        let changes = |count: usize| bytes(&format!("1{}00100{:0<8}", "11".repeat(count), ""));
        assert!(list_modification(&mut Bits::new(&changes(2)), 0, 2, &sps, false).is_ok());
        let error = list_modification(&mut Bits::new(&changes(3)), 0, 2, &sps, false).unwrap_err();
        assert!(error.contains("list 0 of 2 references is changed more than 2 times"), "{error}");
        // Both denominators are 1, "1"; a weight, an offset of 0, "1"; none for the colours, "0".
        let weighted = |weight: &str| weights(&mut Bits::new(&bytes(&format!("111{weight}10{:0<8}", ""))), &[1], true);
        assert_eq!(weighted("000000011111110"), Ok(()), "127");
        let error = weighted("00000000100000000").unwrap_err();
        assert!(error.contains("luma_weight is 128, the standard allows -128 to 127"), "{error}");
    }
}
