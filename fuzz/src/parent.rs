//! A process for each target, what its end means, and the table.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::child::{CASE, COUNT, cannot, meaning};
use crate::error::{Failure, Result};
use crate::target::Target;

/// A target stops after so many findings.
const MAX_FINDINGS: usize = 3;
/// Attempts at shortening a finding.
const ATTEMPTS: usize = 60;

/// What to run, and for how long.
pub struct Plan<'a> {
    pub targets: Vec<&'a Target>,
    pub seconds: u64,
    pub seed: u64,
    /// Where findings are written.
    pub out: PathBuf,
    pub case: Duration,
}

struct Finding {
    target: &'static str,
    kind: &'static str,
    words: String,
    path: PathBuf,
}

/// The end of a process.
struct End {
    cases: u64,
    found: Option<(&'static str, String)>,
}

impl Plan<'_> {
    /// Runs every target and prints the table.
    ///
    /// # Errors
    /// A target that cannot begin, and any finding.
    pub fn run(&self) -> Result {
        let mut findings = Vec::new();
        println!("{:<12} {:>10} {:>8} {:>9}", "target", "cases", "cases/s", "findings");
        for target in &self.targets {
            let (cases, seconds, found) = self.run_target(target)?;
            println!("{:<12} {cases:>10} {:>8.0} {:>9}", target.name, cases as f64 / seconds.max(0.001), found.len());
            findings.extend(found);
        }
        for Finding { target, kind, words, path } in &findings {
            println!("{target}: {kind}: {words}\n  {}", path.display());
        }
        if findings.is_empty() {
            return Ok(());
        }
        Err(Failure::Other(format!(
            "{} inputs were not handled; run one again with --only TARGET --replay FILE",
            findings.len()
        )))
    }

    fn run_target(&self, target: &Target) -> Result<(u64, f64, Vec<Finding>)> {
        let start = Instant::now();
        let whole = Duration::from_secs(self.seconds);
        let (mut cases, mut found, mut seed) = (0, Vec::<Finding>::new(), self.seed);
        while start.elapsed() < whole && found.len() < MAX_FINDINGS {
            let scratch = tempfile::tempdir_in(memory_folder())?;
            let left = whole.saturating_sub(start.elapsed()).as_secs().max(1);
            let end =
                self.child(target, scratch.path(), &["--seconds", &left.to_string(), "--seed", &seed.to_string()])?;
            cases += end.cases;
            seed = seed.wrapping_add(1);
            let Some((kind, words)) = end.found else { break };
            let case = scratch.path().join(CASE);
            let Ok(input) = std::fs::read(&case) else {
                return Err(cannot(format!("{}: it cannot begin: {words}", target.name)));
            };
            if found.iter().any(|finding| finding.words == words) {
                continue;
            }
            let input = self.shorten(target, input, kind, &words)?;
            std::fs::create_dir_all(&self.out)?;
            let path = self.out.join(format!("{}-{kind}-{}", target.name, found.len()));
            std::fs::write(&path, input)?;
            found.push(Finding { target: target.name, kind, words, path });
        }
        Ok((cases, start.elapsed().as_secs_f64(), found))
    }

    /// Removes parts while the end stays of one kind, and a panic at one place.
    fn shorten(&self, target: &Target, mut input: Vec<u8>, kind: &str, words: &str) -> Result<Vec<u8>> {
        let place = |words: &str| words.rsplit_once(" at ").map(|(_, place)| place.to_owned());
        let wanted = place(words);
        let same = |found: &str, words: &str| found == kind && (kind != "panic" || place(words) == wanted);
        let attempts = if kind == "hang" { 4 } else { ATTEMPTS };
        let (mut part, mut at) = (input.len().div_ceil(2), 0);
        for _ in 0..attempts {
            if part == 0 || input.is_empty() {
                break;
            }
            let end = (at + part).min(input.len());
            let mut shorter = input.clone();
            shorter.drain(at..end);
            if self.replay(target, &shorter)?.found.is_some_and(|(found, words)| same(found, &words)) {
                input = shorter;
            } else {
                at = end;
            }
            if at >= input.len() {
                at = 0;
                part /= 2;
            }
        }
        Ok(input)
    }

    fn replay(&self, target: &Target, input: &[u8]) -> Result<End> {
        let scratch = tempfile::tempdir_in(memory_folder())?;
        let case = scratch.path().join(CASE);
        std::fs::write(&case, input)?;
        self.child(target, scratch.path(), &["--replay", &case.to_string_lossy()])
    }

    fn child(&self, target: &Target, scratch: &Path, arguments: &[&str]) -> Result<End> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--child", "--only", target.name, "--scratch"]).arg(scratch).args(arguments);
        command.arg("--case-seconds").arg(self.case.as_secs().to_string());
        command.env("RUST_BACKTRACE", "0").stdin(Stdio::null());
        let output = command.output()?;
        let count = std::fs::read(scratch.join(COUNT)).ok();
        let cases = count.and_then(|bytes| Some(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?))).unwrap_or(0);
        let words = String::from_utf8_lossy(&output.stderr);
        Ok(End { cases, found: meaning(output.status.code(), &words) })
    }
}

/// A folder in memory where there is one: cases are written without waiting for a disk.
fn memory_folder() -> PathBuf {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() }
}
