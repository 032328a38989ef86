//! One case after the other in this process, until a time has passed or a case ends it.

use std::io::{Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::error::{Failure, Result};
use crate::memory;
use crate::mutate::mutate;
use crate::random::Random;
use crate::target::{Stop, Target};

/// Exit status of a process whose case took too long.
pub const HANG: i32 = 97;
/// Exit status of a process whose case panicked.
pub const PANIC: i32 = 98;

/// Where a process leaves the case that it runs.
pub const CASE: &str = "case";

/// Where a process leaves how many cases came before that one.
pub const COUNT: &str = "count";

/// When the present case began, in milliseconds since the start, plus 1; 0 between cases.
static BEGAN: AtomicU64 = AtomicU64::new(0);
/// The last panic's words and place.
static LAST: Mutex<String> = Mutex::new(String::new());

fn note(text: String) {
    match LAST.lock() {
        Ok(mut last) => *last = text,
        Err(poisoned) => *poisoned.into_inner() = text,
    }
}

fn noted() -> String {
    LAST.lock().map(|last| last.clone()).unwrap_or_default()
}

/// What a process is to do.
pub struct Work<'a> {
    pub target: &'a Target,
    /// An empty folder.
    pub scratch: &'a Path,
    pub seed: u64,
    pub time: Duration,
    /// The longest case.
    pub case: Duration,
}

/// Runs damaged seeds.
pub fn run(work: &Work<'_>) -> Result {
    let seeds = (work.target.seeds)()?;
    let mut count = std::fs::File::create(work.scratch.join(COUNT))?;
    let mut one = prepare(work)?;
    let mut random = Random::new(work.seed);
    let start = Instant::now();
    let mut cases = 0_u64;
    // Sound input first: a target that does not take it tries nothing.
    let mut sound = seeds.iter();
    while start.elapsed() < work.time {
        let input = match sound.next() {
            Some(seed) => seed.clone(),
            None => mutate(&seeds, work.target.shape, &mut random),
        };
        std::fs::write(work.scratch.join(CASE), &input)?;
        count.seek(SeekFrom::Start(0))?;
        count.write_all(&cases.to_le_bytes())?;
        one(&input);
        cases += 1;
    }
    count.seek(SeekFrom::Start(0))?;
    count.write_all(&cases.to_le_bytes())?;
    Ok(())
}

/// Runs one input.
pub fn replay(work: &Work<'_>, input: &[u8]) -> Result {
    prepare(work)?(input);
    Ok(())
}

/// What runs a case under the limits, and ends the process with what was found.
fn prepare(work: &Work<'_>) -> Result<impl FnMut(&[u8])> {
    let folder = work.scratch.join("files");
    std::fs::create_dir_all(&folder)?;
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("a panic without words");
        let place = info.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        note(format!("{text}{place}"));
    }));
    let mut one = (work.target.make)(&folder)?;
    let most = work.case;
    let start = Instant::now();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let began = BEGAN.load(SeqCst);
            if began > 0 && start.elapsed() > Duration::from_millis(began - 1) + most {
                eprintln!("a case took more than {} s", most.as_secs());
                std::process::exit(HANG);
            }
        }
    });
    let megabytes = work.target.megabytes;
    Ok(move |input: &[u8]| {
        memory::allow(megabytes << 20);
        BEGAN.store(start.elapsed().as_millis() as u64 + 1, SeqCst);
        let outcome = catch_unwind(AssertUnwindSafe(|| one(input)));
        BEGAN.store(0, SeqCst);
        if outcome.is_err_and(|payload| !payload.is::<Stop>()) {
            memory::allow(usize::MAX >> 1);
            eprintln!("{}", noted());
            std::process::exit(PANIC);
        }
    })
}

/// The words of a process's end.
pub fn meaning(code: Option<i32>, words: &str) -> Option<(&'static str, String)> {
    let last = words.lines().find(|line| !line.trim().is_empty()).unwrap_or("").trim().to_owned();
    match code {
        Some(0) => None,
        Some(HANG) => Some(("hang", last)),
        Some(PANIC) => Some(("panic", last)),
        _ if words.contains("memory allocation of") => {
            let line = words.lines().find(|line| line.contains("memory allocation of")).unwrap_or("");
            Some(("memory", line.trim().to_owned()))
        }
        _ => Some(("crash", last)),
    }
}

/// An error for a process that could not begin.
pub fn cannot(what: impl Into<String>) -> Failure {
    Failure::Other(what.into())
}
