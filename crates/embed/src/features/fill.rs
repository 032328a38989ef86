//! Makes the features that are not there yet.

use std::collections::HashSet;
use std::sync::mpsc::sync_channel;

use rayon::prelude::*;

use super::cache::{FeatureCache, Look};
use super::key::FeatureKey;
use super::stored::{Features, MAX_FEATURES, size};
use crate::error::{Error, Result};
use crate::visuals::VisualEncoder;

/// Bytes of pixels that are decoded at once, beside one clip. As many may wait, and as many be with the adapter.
const AT_ONCE: usize = 256 << 20;

/// A clip whose features are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Their name.
    pub key: FeatureKey,
    /// What messages call the clip: "clips.jsonl: line 3".
    pub name: String,
}

/// The pixels of a clip's views.
#[derive(Clone, Debug, PartialEq)]
pub struct Views {
    /// Views.
    pub views: usize,
    /// Frames of each.
    pub frames: usize,
    /// `[views, frames, 3, size, size]`.
    pub pixels: Vec<f32>,
}

/// How far [`fill`] is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filling {
    /// Clips whose features were made.
    pub done: usize,
    /// Clips whose features were not there.
    pub of: usize,
    /// Bytes of features that were written.
    pub bytes: u64,
}

/// What [`fill`] found and made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// Clips whose features were there.
    pub there: usize,
    /// Clips whose features were made.
    pub made: usize,
    /// Of these, a line for each whose features were there and damaged.
    pub damaged: Vec<String>,
}

/// Makes the features of the clips whose features are not there or are damaged, all others are read and checked. `read`
/// decodes clip `i`, whose pixels take at most `clip` bytes, on several threads while the adapter works on another; `each` is called before the first and after every
/// clip. Clips of one key are one.
///
/// A clip is encoded apart from all others, so that its features do not depend on which others were there.
///
/// # Errors
/// A clip that cannot be read, one whose features are larger than [`MAX_FEATURES`], a disk that is full, and errors of the
/// device. What was made before is kept.
pub fn fill(
    cache: &FeatureCache,
    encoder: &dyn VisualEncoder,
    wanted: &[Wanted],
    clip: usize,
    read: &(dyn Fn(usize) -> Result<Views> + Sync),
    each: &mut dyn FnMut(Filling),
) -> Result<Filled> {
    let mut keys = HashSet::new();
    let clips: Vec<usize> = (0..wanted.len()).filter(|&i| keys.insert(&wanted[i].key)).collect();
    let looks: Vec<Look> = clips.par_iter().map(|&i| cache.look(&wanted[i].key)).collect::<Result<_>>()?;
    let mut filled = Filled::default();
    let mut missing = Vec::new();
    for (&i, look) in clips.iter().zip(looks) {
        match look {
            Look::Whole => filled.there += 1,
            Look::Absent => missing.push(i),
            Look::Damaged(what) => {
                filled.damaged.push(format!("{}: {what}", cache.path(&wanted[i].key).display()));
                missing.push(i);
            }
        }
    }
    let mut state = Filling { of: missing.len(), ..Filling::default() };
    each(state);
    let together = (AT_ONCE / clip.max(1)).clamp(1, rayon::current_num_threads().max(1));
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel(1);
        let missing = &missing;
        scope.spawn(move || {
            for part in missing.chunks(together) {
                let read: Vec<_> = part.par_iter().map(|&i| read(i)).collect();
                for (&i, views) in part.iter().zip(read) {
                    let failed = views.is_err();
                    // Where nobody listens, another error has ended the work.
                    if send.send((i, views)).is_err() || failed {
                        return;
                    }
                }
            }
        });
        for (i, views) in receive {
            let Wanted { key, name } = &wanted[i];
            let named = |error: Error| match error {
                Error::Invalid(what) => Error::Invalid(format!("{name}: {what}")),
                other => other,
            };
            let features = encode(encoder, &views?).map_err(named)?;
            state.bytes += 2 * features.values.len() as u64;
            cache.write(key, &features).map_err(named)?;
            state.done += 1;
            each(state);
        }
        filled.made = state.done;
        Ok(filled)
    })
}

/// The tokens of each view, some views at a time.
fn encode(encoder: &dyn VisualEncoder, clip: &Views) -> Result<Features> {
    let &Views { views, frames, ref pixels } = clip;
    let shape = encoder.shape(frames);
    let &[tokens, width] = &shape[..] else {
        return Err(Error::Invalid(format!("features are rows of tokens, this encoder gives rows of shape {shape:?}")));
    };
    let bytes = [tokens, width, 2].iter().try_fold(views as u64, |bytes, &n| bytes.checked_mul(n as u64));
    if bytes.is_none_or(|bytes| bytes > MAX_FEATURES) {
        return Err(Error::Invalid(format!(
            "{views} views of {tokens} tokens are more than the {} that the features of one clip may take; cut it into \
             shorter clips, or choose a longer stride",
            size(MAX_FEATURES)
        )));
    }
    if views == 0 || !pixels.len().is_multiple_of(views) {
        return Err(Error::Invalid(format!("{} pixels are not those of {views} views", pixels.len())));
    }
    let mut values = Vec::with_capacity(views * tokens * width);
    let view = pixels.len() / views;
    for part in pixels.chunks((encoder.batch(frames) * view).max(1)) {
        values.extend(encoder.encode(part, part.len() / view, frames)?);
    }
    if values.len() != views * tokens * width {
        let reason = format!("the encoder made {} numbers, {views} × {tokens} × {width} are needed", values.len());
        return Err(Error::Invalid(reason));
    }
    Ok(Features { views, tokens, width, values })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use vljepa_data::Preprocess;

    use super::super::key::Seen;
    use super::*;

    /// Gives each token the sum of its clip's pixels, and counts.
    struct Sums {
        to: Preprocess,
        runs: AtomicUsize,
    }

    impl VisualEncoder for Sums {
        fn preprocess(&self) -> &Preprocess {
            &self.to
        }
        fn frames(&self) -> usize {
            2
        }
        fn tokens(&self, frames: usize) -> usize {
            2 * frames
        }
        fn shape(&self, frames: usize) -> Vec<usize> {
            vec![2 * frames, 3]
        }
        fn unit(&self) -> bool {
            false
        }
        fn batch(&self, _: usize) -> usize {
            2
        }
        fn encode(&self, pixels: &[f32], count: usize, frames: usize) -> Result<Vec<f32>> {
            self.runs.fetch_add(1, Ordering::Relaxed);
            let sums = pixels.chunks(pixels.len() / count).map(|clip| clip.iter().sum::<f32>());
            Ok(sums.flat_map(|sum| vec![sum; 6 * frames]).collect())
        }
    }

    fn wanted(names: &[&str]) -> Vec<Wanted> {
        let key = |content| {
            FeatureKey::new(&Seen { content, times: (None, None), sampling: "" }, &Preprocess::square(2), "m").unwrap()
        };
        names.iter().map(|name| Wanted { key: key(name), name: (*name).into() }).collect()
    }

    fn views(i: usize) -> Result<Views> {
        let views = 1 + i % 3;
        Ok(Views { views, frames: 2, pixels: (0..views * 24).map(|n| (i * 10 + n / 24) as f32).collect() })
    }

    #[test]
    fn the_second_time_nothing_is_encoded() {
        let dir = tempfile::tempdir().unwrap();
        let cache = FeatureCache::open(dir.path()).unwrap();
        let encoder = Sums { to: Preprocess::square(2), runs: AtomicUsize::new(0) };
        let list = wanted(&["a", "b", "c", "a"]);
        let mut told = Vec::new();
        let mut go = |list: &[Wanted]| {
            told.clear();
            let filled = fill(&cache, &encoder, list, 288, &views, &mut |state| told.push(state)).unwrap();
            (filled, encoder.runs.swap(0, Ordering::Relaxed), told.clone())
        };
        let (filled, runs, told) = go(&list);
        // One view, two, and three, of which two go together.
        assert_eq!((filled.made, filled.there, runs), (3, 0, 4));
        assert_eq!(told.iter().map(|t| t.done).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(told[3], Filling { done: 3, of: 3, bytes: 2 * 12 * 6 });
        let c = cache.read(&list[2].key).unwrap();
        assert_eq!((c.views, c.tokens, c.width), (3, 4, 3));
        assert_eq!([c.view(0)[0], c.view(1)[0], c.view(2)[11]], [480.0, 504.0, 528.0]);
        let (filled, runs, told) = go(&list);
        assert_eq!((filled.made, filled.there, runs, told.len()), (0, 3, 0, 1));
        // What is damaged is said, and made again.
        let path = cache.path(&list[1].key);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let (filled, runs, _) = go(&list);
        assert_eq!((filled.made, filled.there, runs, filled.damaged.len()), (1, 2, 1, 1));
        assert!(filled.damaged[0].contains(&path.display().to_string()), "{:?}", filled.damaged);
        assert_eq!(std::fs::read(&path).unwrap(), whole, "the same bits, alone or with others");
    }

    #[test]
    fn large_clips_are_decoded_one_at_a_time() {
        let encoder = Sums { to: Preprocess::square(2), runs: AtomicUsize::new(0) };
        let list = wanted(&["a", "b", "c", "d", "e", "f", "g", "h"]);
        for (clip, most) in [(AT_ONCE, 1), (AT_ONCE / 2, 2)] {
            let dir = tempfile::tempdir().unwrap();
            let cache = FeatureCache::open(dir.path()).unwrap();
            let (now, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let read = |i: usize| {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(5));
                now.fetch_sub(1, Ordering::SeqCst);
                views(i)
            };
            let filled = fill(&cache, &encoder, &list, clip, &read, &mut |_| ()).unwrap();
            assert_eq!(filled.made, 8);
            assert!(peak.load(Ordering::SeqCst) <= most, "{peak:?} clips of {clip} bytes at once");
        }
    }

    #[test]
    fn what_was_made_before_an_error_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let cache = FeatureCache::open(dir.path()).unwrap();
        let encoder = Sums { to: Preprocess::square(2), runs: AtomicUsize::new(0) };
        let list = wanted(&["a", "b", "c", "d"]);
        let broken = |i: usize| if i == 2 { Err(Error::Invalid("clip c: broken".into())) } else { views(i) };
        let error = fill(&cache, &encoder, &list, 288, &broken, &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains("clip c: broken"), "{error}");
        let filled = fill(&cache, &encoder, &list, 288, &views, &mut |_| ()).unwrap();
        assert_eq!((filled.there, filled.made), (2, 2));
    }

    #[test]
    fn sizes_that_do_not_fit_name_the_clip() {
        let dir = tempfile::tempdir().unwrap();
        let cache = FeatureCache::open(dir.path()).unwrap();
        let encoder = Sums { to: Preprocess::square(2), runs: AtomicUsize::new(0) };
        let list = wanted(&["line 7"]);
        let cases: [(Views, &str); 4] = [
            (Views { views: 1 << 30, frames: 2, pixels: vec![0.0; 1 << 10] }, "longer stride"),
            (Views { views: 0, frames: 2, pixels: vec![] }, "0 views"),
            (Views { views: 2, frames: 2, pixels: vec![0.0; 49] }, "49 pixels"),
            (Views { views: 1, frames: 2, pixels: vec![f32::NAN; 24] }, "NaN"),
        ];
        for (clip, word) in cases {
            let error = fill(&cache, &encoder, &list, 288, &|_| Ok(clip.clone()), &mut |_| ()).unwrap_err().to_string();
            assert!(error.starts_with("line 7: ") && error.contains(word), "{error}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing half-made stays");
    }
}
