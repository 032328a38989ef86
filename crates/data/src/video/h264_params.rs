//! The parameter sets of H.264, held against the limits of the standard before a decoder believes them.
//!
//! Of the usability information (VUI) only what it says of colours is read, as far as it is there: some files cut it off.

use super::h264_bits::{Bits, Checked, replaced, within};

/// No level holds more macroblocks of decoded frames: MaxDpbMbs of level 6.2 (Table A-1).
pub(super) const MAX_DPB_MBS: u64 = 696_320;
/// A.3.1, h: MaxDpbFrames.
pub(super) const MAX_DPB_FRAMES: u64 = 16;

/// What a picture is made of. References to a picture of another form reach beyond its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub width_mbs: u32,
    /// Of a frame, also where pictures are fields.
    pub height_mbs: u32,
    pub chroma: u32,
    pub depth: u32,
}

impl Form {
    /// PicSizeInMbs of a frame.
    pub fn mbs(&self) -> u64 {
        u64::from(self.width_mbs) * u64::from(self.height_mbs)
    }

    /// RawMbBits (7.4.2.1.1) in bytes as they lie in memory.
    pub fn bytes_per_mb(&self) -> u64 {
        let samples = [256, 384, 512, 768][self.chroma.min(3) as usize];
        samples * if self.depth > 8 { 2 } else { 1 }
    }

    /// How many frames of this size the largest level holds.
    pub fn dpb_frames(&self) -> u64 {
        (MAX_DPB_MBS / self.mbs().max(1)).clamp(1, MAX_DPB_FRAMES)
    }
}

/// A sequence parameter set (7.3.2.1.1), the fields that decoding depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sps {
    pub id: u32,
    pub form: Form,
    pub separate_planes: bool,
    pub frame_num_bits: u32,
    pub poc_type: u32,
    pub poc_lsb_bits: u32,
    pub delta_poc_always_zero: bool,
    pub max_num_ref_frames: u32,
    pub frame_mbs_only: bool,
    pub mbaff: bool,
    /// qpprime_y_zero_transform_bypass_flag: frames may be coded without loss.
    pub lossless: bool,
    /// Profile 88 (A.2.3), whose slices may come in partitions.
    pub extended: bool,
    /// matrix_coefficients, where they are there (E.2.1).
    pub matrix: Option<u8>,
    /// video_full_range_flag, where it is there (E.2.1).
    pub full_range: Option<bool>,
    /// The set with max_num_ref_frames of 1 where it says 0. 8.2.5.3 takes both for 1; the decoder never forgets with 0.
    pub mended: Option<Vec<u8>>,
}

const SPS: &str = "7.4.2.1.1";

impl Sps {
    /// Reads the payload of NAL unit type 7.
    pub fn parse(rbsp: &[u8]) -> Checked<Self> {
        let mut bits = Bits::new(rbsp);
        let profile = bits.bits("profile_idc", 8)?;
        bits.bits("constraint_set_flags", 8)?;
        bits.bits("level_idc", 8)?;
        let id = bits.ue_in("seq_parameter_set_id", 0..=31, SPS)?;
        let (mut chroma, mut separate_planes, mut depth, mut lossless) = (1, false, 8, false);
        if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
            chroma = bits.ue_in("chroma_format_idc", 0..=3, SPS)?;
            separate_planes = chroma == 3 && bits.bit("separate_colour_plane_flag")?;
            depth = 8 + bits.ue_in("bit_depth_luma_minus8", 0..=6, SPS)?;
            bits.ue_in("bit_depth_chroma_minus8", 0..=6, SPS)?;
            lossless = bits.bit("qpprime_y_zero_transform_bypass_flag")?;
            if bits.bit("seq_scaling_matrix_present_flag")? {
                scaling_lists(&mut bits, if chroma == 3 { 12 } else { 8 })?;
            }
        }
        let frame_num_bits = 4 + bits.ue_in("log2_max_frame_num_minus4", 0..=12, SPS)?;
        let poc_type = bits.ue_in("pic_order_cnt_type", 0..=2, SPS)?;
        let (mut poc_lsb_bits, mut delta_poc_always_zero) = (4, false);
        if poc_type == 0 {
            poc_lsb_bits += bits.ue_in("log2_max_pic_order_cnt_lsb_minus4", 0..=12, SPS)?;
        } else if poc_type == 1 {
            delta_poc_always_zero = bits.bit("delta_pic_order_always_zero_flag")?;
            bits.se("offset_for_non_ref_pic")?;
            bits.se("offset_for_top_to_bottom_field")?;
            for _ in 0..bits.ue_in("num_ref_frames_in_pic_order_cnt_cycle", 0..=255, SPS)? {
                bits.se("offset_for_ref_frame")?;
            }
        }
        let refs_at = bits.at();
        let max_num_ref_frames = bits.ue_in("max_num_ref_frames", 0..=MAX_DPB_FRAMES as u32, SPS)?;
        bits.bit("gaps_in_frame_num_value_allowed_flag")?;
        let width_mbs = 1 + bits.ue_in("pic_width_in_mbs_minus1", 0..=0xffff, SPS)?;
        let map_units = 1 + bits.ue_in("pic_height_in_map_units_minus1", 0..=0xffff, SPS)?;
        let frame_mbs_only = bits.bit("frame_mbs_only_flag")?;
        let mbaff = !frame_mbs_only && bits.bit("mb_adaptive_frame_field_flag")?;
        let direct_8x8 = bits.bit("direct_8x8_inference_flag")?;
        if !frame_mbs_only && !direct_8x8 {
            return Err(format!(
                "direct_8x8_inference_flag is 0, the standard allows 1 with fields (ITU-T H.264, {SPS})"
            ));
        }
        let form = Form { width_mbs, height_mbs: map_units * if frame_mbs_only { 1 } else { 2 }, chroma, depth };
        if u64::from(max_num_ref_frames) > form.dpb_frames() {
            let (most, mbs) = (form.dpb_frames(), form.mbs());
            return Err(format!(
                "max_num_ref_frames is {max_num_ref_frames}, no level allows more than {most} for pictures of {mbs} \
                 macroblocks (ITU-T H.264, A.3.1: MaxDpbMbs is {MAX_DPB_MBS})"
            ));
        }
        if bits.bit("frame_cropping_flag")? {
            cropping(&mut bits, &form, frame_mbs_only)?;
        }
        let vui = bits.bit("vui_parameters_present_flag")?;
        let (full_range, matrix) = if vui { stated_colours(&mut bits) } else { (None, None) };
        let mended = (max_num_ref_frames == 0).then(|| replaced(rbsp, refs_at, 1, "010"));
        Ok(Self {
            id,
            form,
            separate_planes,
            frame_num_bits,
            poc_type,
            poc_lsb_bits,
            delta_poc_always_zero,
            max_num_ref_frames: max_num_ref_frames.max(1),
            frame_mbs_only,
            mbaff,
            lossless,
            extended: profile == 88,
            matrix,
            full_range,
            mended,
        })
    }

    /// MaxFrameNum, 7-10.
    pub fn max_frame_num(&self) -> u32 {
        1 << self.frame_num_bits
    }
}

/// E.1.1, up to the colours: video_full_range_flag and matrix_coefficients, `None` where they are not there.
fn stated_colours(bits: &mut Bits<'_>) -> (Option<bool>, Option<u8>) {
    let (mut full_range, mut matrix) = (None, None);
    let mut read = || -> Checked<()> {
        // Extended_SAR: the ratio itself follows.
        if bits.bit("aspect_ratio_info_present_flag")? && bits.bits("aspect_ratio_idc", 8)? == 255 {
            bits.bits("sar_width and sar_height", 32)?;
        }
        if bits.bit("overscan_info_present_flag")? {
            bits.bit("overscan_appropriate_flag")?;
        }
        if bits.bit("video_signal_type_present_flag")? {
            bits.bits("video_format", 3)?;
            full_range = Some(bits.bit("video_full_range_flag")?);
            if bits.bit("colour_description_present_flag")? {
                bits.bits("colour_primaries and transfer_characteristics", 16)?;
                matrix = Some(bits.bits("matrix_coefficients", 8)? as u8);
            }
        }
        Ok(())
    };
    // What is cut off says nothing.
    let _ = read();
    (full_range, matrix)
}

/// 7.4.2.1.1: cropping leaves at least one sample of each row and column.
fn cropping(bits: &mut Bits<'_>, form: &Form, frame_mbs_only: bool) -> Checked<()> {
    let unit_x = if matches!(form.chroma, 1 | 2) { 2 } else { 1 };
    let unit_y = if form.chroma == 1 { 2 } else { 1 } * if frame_mbs_only { 1 } else { 2 };
    let (across, down) = (16 * form.width_mbs / unit_x, 16 * form.height_mbs / unit_y);
    let left = bits.ue_in("frame_crop_left_offset", 0..=across - 1, SPS)?;
    bits.ue_in("frame_crop_right_offset", 0..=across - 1 - left, SPS)?;
    let top = bits.ue_in("frame_crop_top_offset", 0..=down - 1, SPS)?;
    bits.ue_in("frame_crop_bottom_offset", 0..=down - 1 - top, SPS)?;
    Ok(())
}

/// 7.3.2.1.1.1: lists of 16 factors, from the seventh on of 64.
fn scaling_lists(bits: &mut Bits<'_>, count: usize) -> Checked<()> {
    for list in 0..count {
        if !bits.bit("scaling_list_present_flag")? {
            continue;
        }
        let (mut last, mut next) = (8, 8);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + bits.se_in("delta_scale", -128..=127, "7.4.2.1.1.1")? + 256) % 256;
            }
            last = if next == 0 { last } else { next };
        }
    }
    Ok(())
}

/// A picture parameter set (7.3.2.2), the fields that decoding depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pps {
    pub id: u32,
    pub sps: u32,
    pub cabac: bool,
    pub bottom_field_poc: bool,
    pub slice_groups: u32,
    pub default_refs: [u32; 2],
    pub weighted_p: bool,
    pub weighted_b: u32,
    pub init_qp: i32,
    pub deblocking_control: bool,
    pub redundant_pictures: bool,
}

const PPS: &str = "7.4.2.2";

impl Pps {
    /// Reads the payload of NAL unit type 8. `depth` is the bit depth of the sequence that an id names, if it is known.
    pub fn parse(rbsp: &[u8], depth: impl Fn(u32) -> Option<u32>) -> Checked<Self> {
        let mut bits = Bits::new(rbsp);
        let id = bits.ue_in("pic_parameter_set_id", 0..=255, PPS)?;
        let sps = bits.ue_in("seq_parameter_set_id", 0..=31, PPS)?;
        let cabac = bits.bit("entropy_coding_mode_flag")?;
        let bottom_field_poc = bits.bit("bottom_field_pic_order_in_frame_present_flag")?;
        // A.2: 7 in the profiles that have slice groups.
        let slice_groups = 1 + bits.ue_in("num_slice_groups_minus1", 0..=7, PPS)?;
        let mut pps = Self {
            id,
            sps,
            cabac,
            bottom_field_poc,
            slice_groups,
            default_refs: [1, 1],
            weighted_p: false,
            weighted_b: 0,
            init_qp: 26,
            deblocking_control: false,
            redundant_pictures: false,
        };
        if slice_groups > 1 {
            // The decoder reads no further and says that it does not support them.
            return Ok(pps);
        }
        pps.default_refs = [
            1 + bits.ue_in("num_ref_idx_l0_default_active_minus1", 0..=31, PPS)?,
            1 + bits.ue_in("num_ref_idx_l1_default_active_minus1", 0..=31, PPS)?,
        ];
        pps.weighted_p = bits.bit("weighted_pred_flag")?;
        pps.weighted_b = bits.bits("weighted_bipred_idc", 2)?;
        within("weighted_bipred_idc", i64::from(pps.weighted_b), 0..=2, PPS)?;
        // QpBdOffsetY, 7-4; the widest where the sequence is not known yet.
        let offset = 6 * (depth(sps).unwrap_or(14) as i32 - 8);
        pps.init_qp = 26 + bits.se_in("pic_init_qp_minus26", -26 - offset..=25, PPS)?;
        bits.se_in("pic_init_qs_minus26", -26..=25, PPS)?;
        bits.se_in("chroma_qp_index_offset", -12..=12, PPS)?;
        pps.deblocking_control = bits.bit("deblocking_filter_control_present_flag")?;
        bits.bit("constrained_intra_pred_flag")?;
        pps.redundant_pictures = bits.bit("redundant_pic_cnt_present_flag")?;
        if bits.more_data() {
            let transform_8x8 = bits.bit("transform_8x8_mode_flag")?;
            if bits.bit("pic_scaling_matrix_present_flag")? {
                scaling_lists(&mut bits, if transform_8x8 { 8 } else { 6 })?;
            }
            bits.se_in("second_chroma_qp_index_offset", -12..=12, PPS)?;
        }
        Ok(pps)
    }
}
