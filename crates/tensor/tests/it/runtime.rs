//! Devices, memory, ordering and the tape.

use vljepa_tensor::autograd::{self, Tape, Var};
use vljepa_tensor::{AdapterChoice, Device, DeviceOptions, Dtype, Error, Tensor, ops};

use crate::support::{assert_close, device, noise, two_devices, upload};

#[test]
fn host_writes_keep_their_place_among_commands() {
    let device = device();
    let x = Tensor::zeros(&device, &[1000], Dtype::F32).unwrap();
    let mut kept = Vec::new();
    for i in 0..300 {
        x.write_f32(&vec![i as f32; 1000]).unwrap();
        kept.push(ops::add(&x, &x).unwrap());
    }
    for (i, sum) in kept.iter().enumerate().step_by(37) {
        assert_eq!(sum.to_f32().unwrap(), vec![2.0 * i as f32; 1000], "write {i}");
    }
}

#[test]
fn uploads_into_reused_memory_do_not_overtake_its_last_reader() {
    let device = device();
    for i in 0..50 {
        let a = upload(&device, &[512], &vec![i as f32; 512]);
        let sum = ops::add(&a, &a).unwrap();
        drop(a);
        // Takes the memory that `a` gave back while the addition may still be pending.
        let b = upload(&device, &[512], &[-1.0; 512]);
        assert_eq!(sum.to_f32().unwrap(), vec![2.0 * i as f32; 512]);
        assert_eq!(b.to_f32().unwrap(), [-1.0; 512]);
    }
}

#[test]
fn uploads_beyond_the_cap_of_one_submission_arrive_whole() {
    let device = device();
    // 120 MiB in one write: almost twice the cap, with a tail.
    let (len, cap) = ((120 << 20) / 4 + 3, (64 << 20) / 4);
    let values: Vec<u32> = (0..len as u32).collect();
    let big = Tensor::from_u32(&device, &[len], &values).unwrap();
    for at in [0, cap - 1, cap, len - 9] {
        let ids = ops::slice(&big, 0, at, 9).unwrap();
        assert_eq!(ids.to_u32().unwrap(), (at as u32..at as u32 + 9).collect::<Vec<_>>());
    }
    // Many small ones between commands: each command sees what was written before it.
    let x = Tensor::zeros(&device, &[1 << 20], Dtype::F32).unwrap();
    let sums: Vec<Tensor> = (0..40)
        .map(|i| {
            x.write_f32(&vec![i as f32; 1 << 20]).unwrap();
            ops::slice(&ops::add(&x, &x).unwrap(), 0, 1 << 19, 2).unwrap()
        })
        .collect();
    for (i, sum) in sums.iter().enumerate() {
        assert_eq!(sum.to_f32().unwrap(), [2.0 * i as f32; 2]);
    }
}

#[test]
fn memory_reaches_a_plateau_and_can_be_trimmed() {
    let device = Device::open(DeviceOptions::default()).unwrap();
    let x = upload(&device, &[64, 64], &noise(1, 4096));
    let mut y = x.clone();
    let mut peak = 0;
    for i in 0..400 {
        y = ops::scale(&ops::add(&y, &x).unwrap(), 0.5).unwrap();
        if i == 20 {
            peak = device.memory().peak;
        }
    }
    device.synchronize().unwrap();
    assert!(peak > 0);
    assert_eq!(device.memory().peak, peak, "memory grew after the first steps");
    assert!(device.memory().reuses > 300);
    drop((x, y));
    assert!(device.trim().unwrap() > 0);
    assert_eq!((device.memory().in_use, device.memory().free), (0, 0));
}

#[test]
fn free_buffers_serve_smaller_requests_that_do_not_waste_much_of_them() {
    let device = Device::open(DeviceOptions::default()).unwrap();
    let bytes = |t: &Tensor| t.wgpu_buffer().size();
    let [small, large] = [20_480, 24_576].map(|n| Tensor::uninitialized(&device, &[n], Dtype::F32).unwrap());
    let (a, b, before) = (bytes(&small), bytes(&large), device.memory());
    drop((large, small));
    // The nearest of those that fit, and its whole size is in use.
    let next = Tensor::uninitialized(&device, &[16_384], Dtype::F32).unwrap();
    assert_eq!((bytes(&next), device.memory().in_use, device.memory().free), (a, a, b));
    assert_eq!(device.memory().allocations, before.allocations);
    // Half of it would lie idle.
    let third = Tensor::uninitialized(&device, &[12_288], Dtype::F32).unwrap();
    assert!(bytes(&third) < b && device.memory().allocations == before.allocations + 1);
    drop(next);
    assert_eq!(device.memory().free, a + b);
}

#[test]
fn contents_of_odd_sizes_come_back() {
    for (name, device) in two_devices() {
        for len in [0usize, 1, 2, 3, 5, 63, 65, 1001] {
            let values = noise(len as u64 + 1, len);
            assert_eq!(upload(&device, &[len], &values).to_f32().unwrap(), values, "{name} {len}");
            let halves: Vec<half::f16> = values.iter().map(|&v| half::f16::from_f32(v)).collect();
            let tensor = Tensor::from_f16(&device, &[len], &halves).unwrap();
            let want: Vec<f32> = halves.iter().map(|h| h.to_f32()).collect();
            assert_eq!(tensor.to_f32().unwrap(), want, "{name} {len}");
            let zeros = Tensor::zeros(&device, &[len], Dtype::U32).unwrap();
            assert_eq!(zeros.to_u32().unwrap(), vec![0; len]);
        }
    }
}

#[test]
fn impossible_requests_are_typed_errors() {
    let device = device();
    assert!(matches!(Tensor::zeros(&device, &[1 << 20, 1 << 20], Dtype::F32), Err(Error::Shape { .. })));
    assert!(matches!(Tensor::zeros(&device, &[(1 << 32) - 2], Dtype::F32), Err(Error::Limit { .. })));
    assert!(matches!(Tensor::from_f32(&device, &[2, 2], &[0.0; 3]), Err(Error::Shape { .. })));
    let words = Tensor::from_u32(&device, &[2], &[1, 2]).unwrap();
    assert!(matches!(words.to_f32(), Err(Error::Dtype { .. })));
    assert!(matches!(words.write_f32(&[0.0; 2]), Err(Error::Dtype { .. })));
    assert!(words.reshape(&[3]).is_err());

    for adapter in [AdapterChoice::Index(99), AdapterChoice::Name("no such adapter".into())] {
        let mut options = DeviceOptions::default();
        options.adapter = adapter;
        let error = Device::open(options).unwrap_err();
        assert!(matches!(error, Error::NoAdapter { .. }), "{error}");
    }
    let mut unknown = DeviceOptions::default();
    unknown.disable = "warp".into();
    assert!(Device::open(unknown).unwrap_err().to_string().contains("`warp`"));
}

#[test]
fn tensors_of_two_devices_do_not_mix() {
    let [(_, one), (_, two)] = two_devices();
    let (a, b) = (upload(&one, &[2], &[1.0; 2]), upload(&two, &[2], &[1.0; 2]));
    assert!(matches!(ops::add(&a, &b), Err(Error::DeviceMismatch { .. })));
}

#[test]
fn checked_and_unchecked_shaders_give_the_same_bits() {
    let run = |checked| {
        let mut options = DeviceOptions::default();
        options.checked_shaders = Some(checked);
        let device = Device::open(options).unwrap();
        let a = upload(&device, &[33, 47], &noise(3, 33 * 47));
        let b = upload(&device, &[29, 47], &noise(4, 29 * 47));
        ops::matmul(&a, &b, &ops::Matmul::nt()).unwrap().to_f32().unwrap()
    };
    assert_eq!(run(true), run(false));
}

/// A future's first poll, by hand.
fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> std::task::Poll<T> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

/// Work for the GPU that takes much longer than recording it, and its result's first element.
fn long_work(device: &Device) -> (Tensor, Vec<f32>) {
    let len = 384;
    let x = upload(device, &[len, len], &vec![1.0 / len as f32; len * len]);
    let mut y = x.clone();
    for _ in 0..60 {
        y = ops::matmul(&y, &x, &ops::Matmul::nn()).unwrap();
    }
    (y, vec![1.0 / len as f32; len * len])
}

#[test]
fn reading_yields_while_the_gpu_works() {
    let device = Device::open(DeviceOptions::default()).unwrap();
    let (warm, _) = long_work(&device);
    device.synchronize().unwrap();
    let started = std::time::Instant::now();
    let (again, _) = long_work(&device);
    let recorded = started.elapsed();
    again.to_f32().unwrap();
    let whole = started.elapsed();
    drop(warm);

    let (y, want) = long_work(&device);
    let started = std::time::Instant::now();
    let mut read = std::pin::pin!(y.read_f32());
    let first = poll_once(read.as_mut());
    let polled = started.elapsed();
    assert!(first.is_pending(), "work of {whole:?} was finished at once");
    // The rest of the time is the GPU's: half of it leaves room for a busy machine.
    assert!(
        polled < whole.saturating_sub(recorded) / 2 + recorded,
        "polled {polled:?}, recorded {recorded:?}, {whole:?}"
    );
    // Polling again neither blocks nor loses the bytes, and neither does somebody else who waits.
    let _ = poll_once(read.as_mut());
    let other = y.to_f32().unwrap();
    let got = pollster::block_on(read).unwrap();
    assert_close("bytes", &got, &want, 1e-6, 1e-4);
    assert_eq!(got, other);
}

#[test]
fn many_reads_are_pending_at_once_and_each_gets_its_bytes() {
    let device = Device::open(DeviceOptions::default()).unwrap();
    let tensors: Vec<Tensor> = (0..40).map(|i| ops::full(&device, &[33], i as f32).unwrap()).collect();
    let mut reads: Vec<_> = tensors.iter().map(|t| Box::pin(t.read_f32())).collect();
    let first: Vec<bool> = reads.iter_mut().map(|r| poll_once(r.as_mut()).is_pending()).collect();
    assert_eq!(first.len(), 40);
    // Some are given up, the others are awaited in the wrong order, from two threads.
    let kept: Vec<_> = reads.into_iter().zip(first).enumerate().filter(|(i, _)| i % 3 != 0).collect();
    std::thread::scope(|threads| {
        for (i, (read, pending)) in kept.into_iter().rev() {
            threads.spawn(move || {
                if pending {
                    assert_eq!(pollster::block_on(read).unwrap(), [i as f32; 33]);
                }
            });
        }
    });
    device.synchronize().unwrap();
}

/// Two layers with a shared weight, so that gradients add up.
fn network(x: &Var, w: &Var) -> vljepa_tensor::Result<Var> {
    let h = autograd::activate(&autograd::linear(x, w, None)?, vljepa_tensor::Activation::Gelu)?;
    autograd::add(&autograd::linear(&h, w, None)?, x)
}

#[test]
fn checkpointing_changes_no_gradient() {
    let device = device();
    let (x, w) = (upload(&device, &[6, 8], &noise(5, 48)), upload(&device, &[8, 8], &noise(6, 64)));
    let seed = upload(&device, &[6, 8], &noise(7, 48));
    let run = |checkpointed: bool| {
        let tape = Tape::new();
        let (x, w) = (tape.leaf(x.clone()), tape.leaf(w.clone()));
        let inner = w.clone();
        let middle = if checkpointed {
            autograd::checkpoint(&[&x], move |v| network(&v[0], &inner)).unwrap()
        } else {
            network(&x, &inner).unwrap()
        };
        let y = autograd::scale(&network(&middle, &w).unwrap(), 0.7).unwrap();
        let gradients = tape.backward(&y, Some(seed.clone())).unwrap();
        let read = |v| gradients.get(v).unwrap().to_f32().unwrap();
        (y.value().to_f32().unwrap(), read(&x), read(&w))
    };
    let (plain, again) = (run(false), run(true));
    assert_eq!(plain.0, again.0);
    assert_close("input", &again.1, &plain.1, 1e-5, 1e-5);
    assert_close("weight", &again.2, &plain.2, 1e-5, 1e-5);
}

#[test]
fn without_a_tape_nothing_is_recorded_and_unused_leaves_have_no_gradient() {
    let device = device();
    let x = Var::constant(upload(&device, &[2, 2], &[1.0; 4]));
    assert!(!autograd::add(&x, &x).unwrap().needs_grad());
    let tape = Tape::new();
    let (used, unused) = (tape.leaf(x.value().clone()), tape.leaf(x.value().clone()));
    let y = autograd::add(&used, &x).unwrap();
    let gradients = tape.backward(&y, None).unwrap();
    assert_eq!(gradients.get(&used).unwrap().to_f32().unwrap(), [1.0; 4]);
    assert!(gradients.get(&unused).is_none() && gradients.get(&x).is_none());
    let y = autograd::add(&tape.leaf(x.value().clone()), &x).unwrap();
    assert!(tape.backward(&y, Some(upload(&device, &[3], &[1.0; 3]))).is_err());
}

#[test]
fn profiles_name_the_kernels_where_timestamps_work() {
    let device = Device::open(DeviceOptions::default()).unwrap();
    let started = device.start_profile().unwrap();
    let x = upload(&device, &[64, 64], &noise(8, 4096));
    ops::matmul(&x, &x, &ops::Matmul::nn()).unwrap();
    let times = device.stop_profile().unwrap();
    // Some drivers' clocks stand still; then the list is empty, never wrong.
    if let Some(first) = times.first() {
        assert!(started && first.kernel.starts_with("matmul") && first.launches == 1 && first.seconds >= 0.0);
    }
    assert!(device.stop_profile().unwrap().is_empty());
}
