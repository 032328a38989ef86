//! Criterion around runs on a device.

use std::cell::{Cell, OnceCell, RefCell};
use std::process::ExitCode;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use vljepa_tensor::{AdapterChoice, Device, DeviceOptions, Tensor};

use crate::error::{Error, Result};
use crate::report::{self, Row};
use crate::roofline::Roofline;
use crate::timing::{STRETCH, median, runs_per_stretch, stretch};
use crate::work::Work;

/// Operands are rotated through at least this many bytes, so that caches do not flatter small shapes.
const ROTATED_BYTES: u64 = 64 << 20;

/// Name, size and work of one case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name within the bench.
    pub name: String,
    /// Sizes, for people.
    pub shape: String,
    /// What one run does.
    pub work: Work,
}

/// The cases of one bench program.
pub struct Harness {
    name: &'static str,
    criterion: Criterion,
    small: bool,
    device: OnceCell<Device>,
    rows: RefCell<Vec<Row>>,
    failure: RefCell<Option<Error>>,
}

/// Whether criterion will run each case once instead of measuring: cargo passes `--bench` only to measure.
fn once(mut args: impl Iterator<Item = String>) -> bool {
    let (mut bench, mut test) = (false, false);
    args.by_ref().for_each(|arg| {
        bench |= arg == "--bench";
        test |= arg == "--test";
    });
    test || !bench
}

impl Harness {
    /// A bench program. The adapter is the best one, or the one `VLJEPA_DEVICE` names.
    pub fn new(name: &'static str) -> Self {
        let criterion = Criterion::default()
            .sample_size(10)
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(2))
            .without_plots()
            .configure_from_args();
        Harness {
            name,
            criterion,
            small: once(std::env::args()),
            device: OnceCell::new(),
            rows: RefCell::default(),
            failure: RefCell::default(),
        }
    }

    /// Whether cases should be small, since they run once and are not measured.
    pub fn small(&self) -> bool {
        self.small
    }

    fn device(&self) -> Result<&Device> {
        if let Some(device) = self.device.get() {
            return Ok(device);
        }
        let device = Device::open(options())?;
        Ok(self.device.get_or_init(|| device))
    }

    /// Measures a case. `setup` makes operands; `run` records one run on the set with the given number (sets are counted
    /// by [`sets`]). Nothing happens when the command line filters the case out.
    pub fn case<S>(
        &mut self,
        case: Case,
        setup: impl Fn(&Device) -> Result<S>,
        run: impl Fn(&Device, &S, usize) -> Result<()>,
    ) {
        let name = self.name;
        let mut criterion = std::mem::take(&mut self.criterion);
        let this = &*self;
        let mut group = criterion.benchmark_group(name);
        match case.work {
            Work::Flops(amount) => {
                group.throughput(Throughput::Elements(amount as u64));
            }
            Work::Bytes(amount) => {
                group.throughput(Throughput::Bytes(amount as u64));
            }
            Work::Items(amount) => {
                group.throughput(Throughput::Elements(amount as u64));
            }
            Work::Time => {}
        }
        // Criterion calls the closure for warming up and again for every sample; operands and samples outlive the calls.
        let prepared = OnceCell::new();
        let samples = RefCell::new(Vec::new());
        let next = Cell::new(0);
        group.bench_function(&case.name, |bencher| {
            let prepared = prepared.get_or_init(|| {
                this.guard(|| {
                    let device = this.device()?;
                    let state = setup(device)?;
                    let count = match this.small {
                        true => 1,
                        false => runs_per_stretch(device, STRETCH, &mut |i| run(device, &state, i))?,
                    };
                    Ok((device, state, count))
                })
            });
            bencher.iter_custom(|iterations| {
                let Some((device, state, per_stretch)) = prepared else { return Duration::from_nanos(1) };
                let count = (iterations as usize).max(*per_stretch);
                let first = next.replace(next.get() + count);
                let took =
                    this.guard(|| stretch(device, first, count, &mut |i| run(device, state, i))).unwrap_or(STRETCH);
                samples.borrow_mut().push(took.as_secs_f64() / count as f64);
                took.mul_f64(iterations as f64 / count as f64).max(Duration::from_nanos(1))
            });
        });
        let samples = samples.into_inner();
        if let Some(seconds) = median(&samples) {
            let (work, shape) = (case.work, case.shape);
            let name = format!("{name}/{}", case.name);
            this.rows.borrow_mut().push(Row { name, shape, work, seconds, samples: samples.len() });
        }
        group.finish();
        self.criterion = criterion;
    }

    /// Keeps the first failure, which the program returns at its end.
    fn guard<T>(&self, action: impl FnOnce() -> Result<T>) -> Option<T> {
        match action() {
            Ok(value) => Some(value),
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error);
                None
            }
        }
    }

    /// Prints the table and appends it to `criterion/rates.jsonl`; the exit code of the program.
    pub fn finish(self) -> ExitCode {
        if let Some(error) = self.failure.borrow().as_ref() {
            eprintln!("{}: {error}", self.name);
            return ExitCode::FAILURE;
        }
        match self.report() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error}", self.name);
                ExitCode::FAILURE
            }
        }
    }

    fn report(&self) -> Result<()> {
        let rows = self.rows.borrow();
        let (false, Some(device)) = (rows.is_empty(), self.device.get()) else { return Ok(()) };
        let info = device.info();
        if self.small {
            println!("adapter {}: {} cases ran once", info.name, rows.len());
            return Ok(());
        }
        let roof = Roofline::measure(device, false)?;
        print!("{}", report::table(&info.name, &roof, &rows));
        let file = report::file();
        report::append(&file, &report::lines(&info.name, &info.driver_info, &roof, &rows))?;
        println!("rates   {}", file.display());
        Ok(())
    }
}

/// The adapter that `VLJEPA_DEVICE` names, else the best one.
pub fn options() -> DeviceOptions {
    let mut options = DeviceOptions::default();
    options.adapter = AdapterChoice::parse(&std::env::var("VLJEPA_DEVICE").unwrap_or_default());
    options
}

/// How many sets of `bytes` bytes are rotated through.
pub fn sets(bytes: u64, small: bool) -> usize {
    if small { 2 } else { ROTATED_BYTES.div_ceil(bytes.max(1)).clamp(2, 16) as usize }
}

/// Repeatable numbers in [-1, 1): the fractional parts of multiples of an irrational number.
pub fn noise(seed: usize, len: usize) -> Vec<f32> {
    const STEP: f64 = 0.618_033_988_749_894_9;
    (0..len).map(|i| (2.0 * ((seed * 7919 + i + 1) as f64 * STEP).fract() - 1.0) as f32).collect()
}

/// A tensor of [`noise`].
///
/// # Errors
/// Allocation errors.
pub fn noise_tensor(device: &Device, seed: usize, shape: &[usize]) -> Result<Tensor> {
    Ok(Tensor::from_f32(device, shape, &noise(seed, shape.iter().product()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_test_means_once() {
        let args = |list: &[&str]| once(list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>().into_iter());
        assert!(args(&["matmul"]));
        assert!(args(&["matmul", "--bench", "--test"]));
        assert!(!args(&["matmul", "--bench", "vitl_qkv"]));
    }

    #[test]
    fn small_operands_are_rotated_more() {
        assert_eq!(sets(1 << 10, false), 16);
        assert_eq!(sets(16 << 20, false), 4);
        assert_eq!(sets(1 << 30, false), 2);
        assert_eq!(sets(1 << 10, true), 2);
    }

    #[test]
    fn noise_is_spread_and_repeats() {
        let (a, b) = (noise(1, 1000), noise(2, 1000));
        assert_eq!(a, noise(1, 1000));
        assert_ne!(a, b);
        assert!(a.iter().all(|v| (-1.0..1.0).contains(v)));
        assert!(a.iter().sum::<f32>().abs() < 10.0);
    }
}
