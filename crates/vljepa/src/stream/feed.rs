//! Frames of a source that does not wait, read by a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use vljepa_data::DataError;
use vljepa_data::video::{Frame, VideoReader};

/// Frames that wait to be taken. A camera goes on while a window is encoded; what is not taken in time is left out.
#[derive(Debug)]
pub struct Feed {
    frames: Receiver<Result<Frame, DataError>>,
    dropped: Arc<AtomicU64>,
}

/// What has come of a source in some time.
#[derive(Debug)]
pub enum Next {
    /// A frame.
    Frame(Frame),
    /// None yet.
    Nothing,
    /// There are no more.
    Ended,
}

impl Feed {
    /// Reads on a thread of its own what `open` opens there. At most `waiting` frames wait; a frame that finds no room is dropped and
    /// counted: the newest goes, so that what was there first is seen.
    pub fn new(waiting: usize, open: impl FnOnce() -> Result<VideoReader, DataError> + Send + 'static) -> Self {
        let (send, frames) = sync_channel(waiting.max(1));
        let dropped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&dropped);
        // The thread ends with its source, or when nobody takes its frames any more.
        std::thread::spawn(move || read(open, &send, &count));
        Self { frames, dropped }
    }

    /// The next frame, which is waited for; `None` after the last.
    ///
    /// # Errors
    /// What opening and reading report; then there are no more frames.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DataError> {
        match self.frames.recv() {
            Ok(Ok(frame)) => Ok(Some(frame)),
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// The next frame, which is waited for no longer than `patience`.
    ///
    /// # Errors
    /// As [`Self::next_frame`].
    pub fn next_within(&mut self, patience: Duration) -> Result<Next, DataError> {
        match self.frames.recv_timeout(patience) {
            Ok(Ok(frame)) => Ok(Next::Frame(frame)),
            Ok(Err(error)) => Err(error),
            Err(RecvTimeoutError::Timeout) => Ok(Next::Nothing),
            Err(RecvTimeoutError::Disconnected) => Ok(Next::Ended),
        }
    }

    /// Frames that found no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

fn read(
    open: impl FnOnce() -> Result<VideoReader, DataError>,
    send: &SyncSender<Result<Frame, DataError>>,
    dropped: &AtomicU64,
) {
    let mut reader = match open() {
        Ok(reader) => reader,
        Err(error) => return drop(send.send(Err(error))),
    };
    loop {
        match reader.next_frame() {
            Ok(None) => return,
            // A fault is told however full it is.
            Err(error) => return drop(send.send(Err(error))),
            Ok(Some(frame)) => match send.try_send(Ok(frame)) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => drop(dropped.fetch_add(1, Ordering::Relaxed)),
                Err(TrySendError::Disconnected(_)) => return,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};

    use vljepa_data::Limits;
    use vljepa_data::video::{RawFormat, RawPixels};

    use super::*;

    fn open(bytes: impl Read + Send + 'static) -> impl FnOnce() -> Result<VideoReader, DataError> + Send + 'static {
        let format = RawFormat { width: 2, height: 2, pixels: RawPixels::Rgb24, fps: 10.0 };
        move || VideoReader::from_raw("pipe", Box::new(bytes), format, &Limits::default())
    }

    #[test]
    fn frames_that_find_no_room_are_counted() {
        let mut feed = Feed::new(4, open(Cursor::new(vec![7u8; 12 * 1000])));
        // The first is taken, then the source is let run to its end.
        let first = feed.next_frame().unwrap().unwrap();
        let begun = std::time::Instant::now();
        while feed.dropped() < 900 && begun.elapsed().as_secs() < 20 {
            std::thread::yield_now();
        }
        let mut frames = vec![first];
        while let Some(frame) = feed.next_frame().unwrap() {
            frames.push(frame);
        }
        assert_eq!(frames.len() as u64 + feed.dropped(), 1000);
        assert!(frames.len() >= 4 && frames.windows(2).all(|pair| pair[0].pts < pair[1].pts));
    }

    #[test]
    fn a_fault_comes_after_the_frames_before_it() {
        let mut feed = Feed::new(64, open(Cursor::new(vec![7u8; 12 * 20 + 5])));
        let mut count = 0;
        let error = loop {
            match feed.next_frame() {
                Ok(Some(_)) => count += 1,
                Ok(None) => panic!("no fault"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(count == 20 && error.contains("pipe"), "{count}: {error}");
        assert!(feed.next_frame().unwrap().is_none());
        assert!(matches!(feed.next_within(Duration::ZERO), Ok(Next::Ended)));
        let mut none = Feed::new(4, || Err(DataError::Empty("pipe".into())));
        assert!(none.next_frame().is_err());
    }

    #[test]
    fn a_source_that_stalls_is_not_waited_for_without_end() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut feed = Feed::new(4, open(reader));
        assert!(matches!(feed.next_within(Duration::from_millis(20)), Ok(Next::Nothing)));
        std::io::Write::write_all(&mut writer, &[7; 12]).unwrap();
        assert!(matches!(feed.next_within(Duration::from_secs(20)), Ok(Next::Frame(_))));
        assert!(matches!(feed.next_within(Duration::from_millis(20)), Ok(Next::Nothing)));
        drop(writer);
        assert!(matches!(feed.next_within(Duration::from_secs(20)), Ok(Next::Ended)));
    }
}
