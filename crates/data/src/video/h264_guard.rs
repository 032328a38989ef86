//! The H.264 decoder behind a guard: every header is held against the standard, and every call against a budget of memory
//! and work, before the decoder sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rust_h264::decoder::{Decoder, Frame};
use rust_h264::nal::{NalUnit, NalUnitType};

use super::h264_bits::Checked;
use super::h264_marking::References;
use super::h264_params::{Form, Pps, Sps};
use super::h264_slice::{Picture, Slice, SliceType, pps_id};

/// Each slice after the first copies its picture and may decode the rest of it: so many macroblocks for nothing.
const FREE_SLICE_MBS: u64 = 2 << 20;
/// A picture of any size may have so many slices.
const FREE_SLICES: u64 = 32;
/// A further slice for each so many bytes of the picture.
const BYTES_A_SLICE: u64 = 512;

/// A decoder that is handed checked headers alone.
pub(super) struct GuardedDecoder {
    decoder: Decoder,
    /// Bytes that the pictures kept for reference may take.
    max_bytes: u64,
    sps: BTreeMap<u32, Sps>,
    pps: BTreeMap<u32, Pps>,
    /// max_num_ref_frames of the set that came last, which the decoder goes by.
    max_refs: u32,
    references: References,
    building: Option<Building>,
}

/// The picture that slices are being added to.
struct Building {
    picture: Picture,
    form: Form,
    max_frame_num: u32,
    /// first_mb_in_slice of its slices.
    firsts: BTreeSet<u32>,
    bytes: u64,
}

impl GuardedDecoder {
    /// `max_bytes` bounds the pictures that are kept for reference.
    pub fn new(max_bytes: u64) -> Self {
        Self {
            decoder: Decoder::new(),
            max_bytes,
            sps: BTreeMap::new(),
            pps: BTreeMap::new(),
            max_refs: 1,
            references: References::default(),
            building: None,
        }
    }

    /// As [`Decoder::decode_nal`].
    ///
    /// # Errors
    /// What is wrong with a header, in words with the field, its value and its limit; the decoder's own errors; a panic of
    /// it, after which it has forgotten everything.
    pub fn decode(&mut self, nal: &NalUnit<'_>) -> Checked<Option<Frame>> {
        match nal.nal_unit_type {
            NalUnitType::Sps => {
                let sps = self.admit_sps(&nal.rbsp)?;
                let NalUnit { nal_ref_idc, nal_unit_type, .. } = *nal;
                let mended = sps.mended.as_ref().map(|rbsp| NalUnit { nal_ref_idc, nal_unit_type, rbsp: rbsp.into() });
                let frame = self.guarded(|decoder| decoder.decode_nal(mended.as_ref().unwrap_or(nal)))?;
                self.max_refs = sps.max_num_ref_frames;
                self.sps.insert(sps.id, sps);
                Ok(frame)
            }
            NalUnitType::Pps => {
                let pps = Pps::parse(&nal.rbsp, |id| self.sps.get(&id).map(|sps| sps.form.depth))?;
                let frame = self.guarded(|decoder| decoder.decode_nal(nal))?;
                self.pps.insert(pps.id, pps);
                Ok(frame)
            }
            NalUnitType::Slice | NalUnitType::SliceIdr => {
                self.admit_slice(nal)?;
                let begins = self.building.as_ref().is_some_and(|building| building.firsts.len() == 1);
                let frame = self.guarded(|decoder| decoder.decode_nal(nal));
                if frame.is_err() && begins {
                    self.building = None;
                }
                frame
            }
            // The decoder passes over all others.
            _ => Ok(None),
        }
    }

    /// As [`Decoder::flush`].
    pub fn flush(&mut self) -> Checked<Option<Frame>> {
        self.finish()?;
        self.guarded(|decoder| Ok(decoder.flush()))
    }

    fn admit_sps(&self, rbsp: &[u8]) -> Checked<Sps> {
        let sps = Sps::parse(rbsp)?;
        let (form, frames) = (sps.form, u64::from(sps.max_num_ref_frames));
        let bytes = frames.saturating_mul(form.mbs()).saturating_mul(form.bytes_per_mb());
        if bytes > self.max_bytes {
            let (frames, most) = (sps.max_num_ref_frames, self.max_bytes);
            return Err(format!(
                "max_num_ref_frames is {frames}: so many frames take {bytes} bytes, the limit is {most}"
            ));
        }
        Ok(sps)
    }

    fn admit_slice(&mut self, nal: &NalUnit<'_>) -> Checked<()> {
        let id = pps_id(&nal.rbsp)?;
        let pps = self
            .pps
            .get(&id)
            .ok_or_else(|| format!("a slice refers to picture parameter set {id}, which is missing"))?;
        let sps = self.sps.get(&pps.sps).ok_or_else(|| {
            format!("picture parameter set {id} refers to sequence parameter set {}, which is missing", pps.sps)
        })?;
        let idr = nal.nal_unit_type == NalUnitType::SliceIdr;
        let slice = Slice::parse(&nal.rbsp, idr, nal.nal_ref_idc > 0, sps, pps)?;
        let (form, max_frame_num) = (sps.form, sps.max_frame_num());
        if slice.first_mb == 0 {
            self.finish()?;
        }
        if !idr {
            self.references.fill_gap(slice.picture.frame_num, max_frame_num, self.max_refs);
        }
        if !idr && slice.kind != SliceType::I && self.references.other_form(&form) {
            return Err("the pictures it refers to have another size or another form (ITU-T H.264, 7.4.1.2.1)".into());
        }
        let bytes = nal.rbsp.len() as u64;
        match &mut self.building {
            Some(building) => building.extend(slice, form, bytes),
            None => {
                let firsts = BTreeSet::from([slice.first_mb]);
                self.building = Some(Building { picture: slice.picture, form, max_frame_num, firsts, bytes });
                Ok(())
            }
        }
    }

    /// Marks the picture that was being built, as the decoder is about to.
    fn finish(&mut self) -> Checked<()> {
        let Some(done) = self.building.take() else {
            return Ok(());
        };
        let added = self.references.add(&done.picture, done.form, done.max_frame_num, self.max_refs);
        if added.is_err() {
            // The decoder must not mark it later.
            *self = Self::new(self.max_bytes);
        }
        added
    }

    /// Whether it knows no parameters: at first, and after it has forgotten everything.
    pub fn is_blank(&self) -> bool {
        self.sps.is_empty()
    }

    /// Runs the decoder. A panic of it on a broken stream is an error of the stream.
    fn guarded<T>(&mut self, run: impl FnOnce(&mut Decoder) -> Result<T, rust_h264::error::DecodeError>) -> Checked<T> {
        let decoder = &mut self.decoder;
        match catch_unwind(AssertUnwindSafe(|| run(decoder))) {
            Ok(outcome) => outcome.map_err(|reason| reason.to_string()),
            Err(_) => {
                *self = Self::new(self.max_bytes);
                Err("the decoder gave up".into())
            }
        }
    }
}

impl Building {
    /// Another slice of the same picture.
    fn extend(&mut self, slice: Slice, form: Form, bytes: u64) -> Checked<()> {
        if self.picture != slice.picture || self.form != form {
            return Err(
                "a slice is of another picture than the first slice of its frame (ITU-T H.264, 7.4.1.2.4)".into()
            );
        }
        self.bytes += bytes;
        let mbs = self.form.mbs();
        let most = FREE_SLICES.max(FREE_SLICE_MBS / mbs.max(1)).saturating_add(self.bytes / BYTES_A_SLICE).min(mbs);
        if !self.firsts.insert(slice.first_mb) {
            let first = slice.first_mb;
            return Err(format!("two slices of one picture have first_mb_in_slice {first} (ITU-T H.264, 7.4.3)"));
        }
        let slices = self.firsts.len() as u64;
        if slices > most {
            let bytes = self.bytes;
            return Err(format!("{slices} slices in {bytes} bytes of one picture, at most {most} are read"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rust_h264::nal::{NalUnit, parse_avcc, parse_avcc_config};

    use super::*;

    const CLIP: &[u8] = include_bytes!("../../tests/fixtures/video/bframes.mp4");

    /// The body of `avcC`, and the first sample, which follows the head of `mdat` in this clip.
    fn parts() -> (&'static [u8], &'static [u8]) {
        let find = |kind: &[u8]| CLIP.windows(4).position(|at| at == kind).unwrap() + 4;
        let (avcc, data) = (find(b"avcC"), find(b"mdat"));
        (&CLIP[avcc..], &CLIP[data..])
    }

    fn fed() -> (GuardedDecoder, Vec<NalUnit<'static>>) {
        let (avcc, data) = parts();
        let config = parse_avcc_config(avcc).unwrap();
        let mut decoder = GuardedDecoder::new(1 << 30);
        for nal in config.sps_nals.iter().chain(&config.pps_nals) {
            decoder.decode(nal).unwrap();
        }
        let slice = |nal: &NalUnit<'_>| matches!(nal.nal_unit_type, NalUnitType::Slice | NalUnitType::SliceIdr);
        let slices: Vec<NalUnit<'_>> = parse_avcc(data, 4).into_iter().filter(slice).take(2).collect();
        (decoder, slices)
    }

    #[test]
    fn a_slice_twice() {
        let (mut decoder, slices) = fed();
        for slice in &slices {
            decoder.decode(slice).unwrap();
        }
        let reason = decoder.decode(&slices[1]).unwrap_err();
        assert!(reason.contains("two slices of one picture have first_mb_in_slice "), "{reason}");
        assert!(decoder.flush().unwrap().is_some());
    }

    #[test]
    fn references_within_the_bytes_of_the_limit() {
        let (avcc, _) = parts();
        let config = parse_avcc_config(avcc).unwrap();
        // Four frames of 4 x 3 macroblocks.
        assert!(GuardedDecoder::new(4 * 12 * 384).decode(&config.sps_nals[0]).is_ok());
        let reason = GuardedDecoder::new(4 * 12 * 384 - 1).decode(&config.sps_nals[0]).unwrap_err();
        assert!(
            reason.contains("max_num_ref_frames is 4: so many frames take 18432 bytes, the limit is 18431"),
            "{reason}"
        );
    }

    #[test]
    fn slices_are_paid_for_in_bytes() {
        let form = Form { width_mbs: 512, height_mbs: 256, chroma: 1, depth: 8 };
        let (mut decoder, slices) = fed();
        decoder.decode(&slices[0]).unwrap();
        let first = decoder.building.take().unwrap();
        let attempt = |bytes: u64| {
            let mut building = Building { form, firsts: BTreeSet::from([0]), bytes: 0, ..copy(&first) };
            (1..1000).find(|i| building.extend(slice(*i, &first.picture), form, bytes).is_err())
        };
        assert_eq!(attempt(10), Some(32));
        assert_eq!(attempt(1024), None);
    }

    fn copy(building: &Building) -> Building {
        let Building { picture, form, max_frame_num, firsts, bytes } = building;
        Building {
            picture: picture.clone(),
            form: *form,
            max_frame_num: *max_frame_num,
            firsts: firsts.clone(),
            bytes: *bytes,
        }
    }

    fn slice(first_mb: u32, picture: &Picture) -> Slice {
        Slice { first_mb, kind: SliceType::I, picture: picture.clone() }
    }

    #[test]
    fn no_references_means_one() {
        let (avcc, _) = parts();
        let config = parse_avcc_config(avcc).unwrap();
        let rbsp = &config.sps_nals[0].rbsp;
        // ue(4), "00101", becomes ue(0), "1".
        let at = (0..8 * rbsp.len() - 5).find(|at| {
            let none = super::super::h264_bits::replaced(rbsp, *at, 5, "1");
            Sps::parse(&none).is_ok_and(|sps| sps.mended.is_some())
        });
        let none = super::super::h264_bits::replaced(rbsp, at.unwrap(), 5, "1");
        let sps = Sps::parse(&none).unwrap();
        let mended = Sps::parse(sps.mended.as_ref().unwrap()).unwrap();
        assert_eq!((sps.max_num_ref_frames, mended.max_num_ref_frames, mended.mended), (1, 1, None));
        assert_eq!(mended.form, sps.form);
    }
}
