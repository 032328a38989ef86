//! What may move between threads, and that it works there.

use vljepa_tensor::autograd::{self, Gradients, Tape, Var};
use vljepa_tensor::{Device, Error, Tensor, ops};

use crate::support::{device, noise, upload};

const fn send_and_sync<T: Send + Sync>() {}

const _: () = {
    send_and_sync::<Device>();
    send_and_sync::<Tensor>();
    send_and_sync::<Var>();
    send_and_sync::<Tape>();
    send_and_sync::<Gradients>();
    send_and_sync::<Error>();
};

#[test]
fn a_tape_recorded_in_one_thread_runs_backwards_in_another() {
    let device = device();
    let (x, w) = (upload(&device, &[3, 4], &noise(1, 12)), upload(&device, &[2, 4], &noise(2, 8)));
    let run = |apart: bool| {
        let tape = Tape::new();
        let w = tape.leaf(w.clone());
        let record = || {
            autograd::checkpoint(&[&w], {
                let x = Var::constant(x.clone());
                move |v| autograd::linear(&x, &v[0], None)
            })
        };
        let back = |y: Var| tape.backward(&y, None).unwrap().take(&w).unwrap().to_f32().unwrap();
        if !apart {
            return back(record().unwrap());
        }
        std::thread::scope(|threads| {
            let y = threads.spawn(record).join().unwrap().unwrap();
            threads.spawn(|| back(y)).join().unwrap()
        })
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn threads_share_one_device() {
    let device = device();
    std::thread::scope(|threads| {
        for i in 0..4u32 {
            let device = &device;
            threads.spawn(move || {
                for k in 0..20u32 {
                    let x = upload(device, &[129], &[i as f32; 129]);
                    let y = ops::scale(&ops::add(&x, &x).unwrap(), k as f32).unwrap();
                    assert_eq!(y.to_f32().unwrap(), [(2 * i * k) as f32; 129]);
                }
            });
        }
    });
}
