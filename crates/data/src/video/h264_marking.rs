//! Which pictures an H.264 decoder keeps for reference, counted before it keeps them (ITU-T H.264, 8.2.5).
//!
//! A decoder that follows a stream's marking without counting fills the memory: pictures that mark themselves and release
//! none, or that repeat one `frame_num`.

use super::h264_bits::Checked;
use super::h264_params::{Form, MAX_DPB_FRAMES, MAX_DPB_MBS};
use super::h264_slice::{Marking, Picture, Structure};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Short,
    Long(u32),
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    frame_num: u32,
    structure: Structure,
    mark: Mark,
    form: Form,
}

impl Kept {
    fn named(&self, frame_num: u32, field: Option<Structure>) -> bool {
        self.frame_num == frame_num && self.covers(field)
    }

    fn covers(&self, field: Option<Structure>) -> bool {
        field.is_none_or(|field| self.structure == field || self.structure == Structure::Frame)
    }

    /// Whether both are fields of one frame.
    fn pairs(&self, other: &Self) -> bool {
        let fields = self.structure != Structure::Frame && other.structure != Structure::Frame;
        fields && self.structure != other.structure && self.frame_num == other.frame_num
    }
}

/// The reference pictures of a decoder.
#[derive(Default)]
pub(super) struct References {
    kept: Vec<Kept>,
    /// PrevRefFrameNum (7.4.3), `None` before the first reference picture.
    previous: Option<u32>,
}

impl References {
    /// Whether pictures of another form are kept.
    pub fn other_form(&self, form: &Form) -> bool {
        self.kept.iter().any(|kept| kept.form != *form)
    }

    /// The frames that a gap in `frame_num` stands for are made and marked (8.2.5.2).
    pub fn fill_gap(&mut self, frame_num: u32, max_frame_num: u32, max_refs: u32) {
        let Some(previous) = self.previous else { return };
        let next = previous.wrapping_add(1) % max_frame_num;
        if frame_num == previous || frame_num == next {
            return;
        }
        let missing = frame_num.wrapping_sub(previous).wrapping_sub(1) % max_frame_num;
        for back in (1..=missing.min(max_refs)).rev() {
            let whole = |kept: &&Kept| kept.structure == Structure::Frame || self.kept.iter().any(|k| k.pairs(kept));
            let Some(form) = self.kept.iter().rev().find(whole).map(|kept| kept.form) else {
                break;
            };
            let frame_num = frame_num.wrapping_sub(back) % max_frame_num;
            self.slide(max_refs);
            self.kept.push(Kept { frame_num, structure: Structure::Frame, mark: Mark::Short, form });
        }
        self.previous = Some(frame_num.wrapping_sub(1) % max_frame_num);
    }

    /// Marks a picture that has ended.
    ///
    /// # Errors
    /// More pictures than any level keeps.
    pub fn add(&mut self, picture: &Picture, form: Form, max_frame_num: u32, max_refs: u32) -> Checked<()> {
        if picture.idr {
            self.kept.clear();
        }
        let restart = picture.markings.iter().flatten().any(|op| *op == Marking::AllUnused);
        for op in picture.markings.iter().flatten() {
            self.mark(*op, picture, max_frame_num);
        }
        if !picture.reference {
            return Ok(());
        }
        let mark = if picture.idr && picture.long_term { Mark::Long(0) } else { Mark::Short };
        let frame_num = if restart { 0 } else { picture.frame_num };
        let new = Kept { frame_num, structure: picture.structure, mark, form };
        let completes = self.kept.iter().any(|kept| kept.mark == Mark::Short && kept.pairs(&new));
        if picture.markings.is_none() && !picture.idr && !completes {
            self.slide(max_refs);
        }
        self.kept.push(new);
        self.previous = Some(frame_num);
        for op in picture.markings.iter().flatten() {
            if let Marking::CurrentToLong(index) = op {
                self.release(|kept| kept.mark == Mark::Long(*index) && !kept.pairs(&new));
                if let Some(last) = self.kept.last_mut() {
                    last.mark = Mark::Long(*index);
                }
            }
        }
        self.count(&form)
    }

    fn mark(&mut self, op: Marking, picture: &Picture, max_frame_num: u32) {
        let field = picture.structure != Structure::Frame;
        let current = i64::from(picture.frame_num) * if field { 2 } else { 1 } + i64::from(field);
        // Of a field, odd numbers name the parity of the picture (8.2.4.1).
        let parity = |number: i64| {
            let same = number.rem_euclid(2) == 1;
            field.then_some(match (same, picture.structure) {
                (true, own) => own,
                (false, Structure::Top) => Structure::Bottom,
                (false, _) => Structure::Top,
            })
        };
        let named = |difference: u32| {
            let number = current - (i64::from(difference & 0xffff) + 1);
            let frame = if field { number.div_euclid(2) } else { number };
            (frame.rem_euclid(i64::from(max_frame_num)) as u32, parity(number))
        };
        match op {
            Marking::ShortUnused(difference) => {
                let (frame_num, field) = named(difference);
                self.release(|kept| kept.mark == Mark::Short && kept.named(frame_num, field));
            }
            Marking::LongUnused(number) => {
                let index = if field { number / 2 } else { number };
                self.release(|kept| kept.mark == Mark::Long(index) && kept.covers(parity(i64::from(number))));
            }
            Marking::ShortToLong(difference, index) => {
                let (frame_num, field) = named(difference);
                let target = |kept: &Kept| kept.mark == Mark::Short && kept.named(frame_num, field);
                let Some(first) = self.kept.iter().find(|kept| target(kept)).copied() else {
                    return;
                };
                self.release(|kept| kept.mark == Mark::Long(index) && !kept.pairs(&first));
                self.kept.iter_mut().filter(|kept| target(kept)).for_each(|kept| kept.mark = Mark::Long(index));
            }
            Marking::MaxLong(most) => self.release(|kept| matches!(kept.mark, Mark::Long(index) if index >= most)),
            Marking::AllUnused => self.kept.clear(),
            Marking::CurrentToLong(_) => {}
        }
    }

    fn release(&mut self, which: impl Fn(&Kept) -> bool) {
        self.kept.retain(|kept| !which(kept));
    }

    /// The sliding window (8.2.5.3), which counts fields of one `frame_num` as one.
    fn slide(&mut self, max_refs: u32) {
        loop {
            let mut frames: Vec<(Mark, u32)> = Vec::new();
            for kept in &self.kept {
                let frame = (kept.mark, if kept.mark == Mark::Short { kept.frame_num } else { 0 });
                if !frames.contains(&frame) {
                    frames.push(frame);
                }
            }
            if frames.len() < max_refs as usize {
                return;
            }
            let Some(oldest) = self.kept.iter().find(|kept| kept.mark == Mark::Short).map(|kept| kept.frame_num) else {
                return;
            };
            self.release(|kept| kept.mark == Mark::Short && kept.frame_num == oldest);
        }
    }

    /// Memory in frames and in macroblocks (A.3.1), fields as halves.
    fn count(&self, form: &Form) -> Checked<()> {
        let halves = |kept: &Kept| if kept.structure == Structure::Frame { 2 } else { 1 };
        let frames: u64 = self.kept.iter().map(halves).sum::<u64>().div_ceil(2);
        let mbs: u64 = self.kept.iter().map(|kept| kept.form.mbs() * halves(kept) / 2).sum();
        if frames > MAX_DPB_FRAMES || mbs > MAX_DPB_MBS.max(form.mbs()) {
            return Err(format!(
                "{frames} frames of {mbs} macroblocks are marked for reference, no level allows more than {MAX_DPB_FRAMES} \
                 and {MAX_DPB_MBS} (ITU-T H.264, A.3.1)"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form = Form { width_mbs: 4, height_mbs: 4, chroma: 1, depth: 8 };

    fn picture(frame_num: u32, structure: Structure, markings: Option<Vec<Marking>>) -> Picture {
        Picture { sps: 0, idr: false, reference: true, frame_num, structure, long_term: false, markings }
    }

    /// How many pictures were kept when one more was refused; `None` where none was.
    fn refused_at(mut next: impl FnMut(u32) -> Picture) -> Option<usize> {
        let mut references = References::default();
        (0..1000)
            .find_map(|i| references.add(&next(i), FORM, 16, 4).err().map(|reason| (reason, references.kept.len())))
            .map(|(reason, kept)| {
                assert!(reason.contains("marked for reference, no level allows more than 16"), "{reason}");
                kept
            })
    }

    #[test]
    fn a_window_slides() {
        assert_eq!(refused_at(|i| picture(i % 16, Structure::Frame, None)), None);
        let field = |i: u32| if i % 2 == 0 { Structure::Top } else { Structure::Bottom };
        assert_eq!(refused_at(|i| picture(i / 2 % 16, field(i), None)), None);
        // An encoder that releases what it no longer needs.
        let frees = |i: u32| Some(if i < 4 { vec![] } else { vec![Marking::ShortUnused(3)] });
        assert_eq!(refused_at(|i| picture(i % 16, Structure::Frame, frees(i))), None);
        assert_eq!(refused_at(|i| picture(i % 16, Structure::Frame, Some(vec![Marking::CurrentToLong(i % 16)]))), None);
        assert_eq!(refused_at(|i| picture(i % 16, Structure::Frame, Some(vec![Marking::AllUnused]))), None);
    }

    #[test]
    fn pictures_that_are_never_released() {
        assert_eq!(refused_at(|i| picture(i % 16, Structure::Frame, Some(vec![]))), Some(17));
        // The window counts frames by their numbers.
        assert_eq!(refused_at(|_| picture(3, Structure::Frame, None)), Some(17));
        assert_eq!(refused_at(|_| picture(3, Structure::Top, None)), Some(33));
    }

    #[test]
    fn large_pictures_are_counted_by_macroblocks() {
        let form = Form { width_mbs: 512, height_mbs: 256, ..FORM };
        let mut references = References::default();
        let outcomes = [0, 1, 2, 3, 4, 5]
            .map(|i| references.add(&picture(i, Structure::Frame, Some(vec![])), form, 16, 16).is_ok());
        assert_eq!(outcomes, [true, true, true, true, true, false]);
    }

    #[test]
    fn gaps_are_filled_to_the_window() {
        let mut references = References::default();
        references.add(&picture(0, Structure::Frame, None), FORM, 16, 4).unwrap();
        references.fill_gap(12, 16, 4);
        let numbers: Vec<u32> = references.kept.iter().map(|kept| kept.frame_num).collect();
        assert_eq!(numbers, [8, 9, 10, 11]);
        references.fill_gap(12, 16, 4);
        assert_eq!(references.kept.len(), 4);
    }
}
