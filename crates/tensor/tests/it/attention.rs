use vljepa_tensor::autograd::{self, Tape};
use vljepa_tensor::ops::{self, Attention, Dropout};
use vljepa_tensor::reference::{self, AttentionSpec};
use vljepa_tensor::{Device, Error, Tensor};

use crate::support::{assert_close, device, devices, noise, poison, sum_tolerance, upload};

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

fn spec(
    batch: usize,
    (nq, nk): (usize, usize),
    (heads, kv_heads): (usize, usize),
    head_dim: usize,
) -> AttentionSpec<'static> {
    let scale = 1.0 / (head_dim as f64).sqrt();
    AttentionSpec {
        batch,
        nq,
        nk,
        heads,
        kv_heads,
        head_dim,
        scale,
        causal: false,
        key_mask: None,
        window: None,
        dropout: None,
    }
}

/// Queries, keys, values and a gradient, large enough that softmax is far from uniform.
fn inputs(s: &AttentionSpec<'_>) -> [Vec<f32>; 4] {
    let (q, kv) = (s.batch * s.nq * s.heads * s.head_dim, s.batch * s.nk * s.kv_heads * s.head_dim);
    let more = |x: Vec<f32>| x.into_iter().map(|x| 2.0 * x + 0.1).collect();
    [more(noise(1, q)), more(noise(2, kv)), noise(3, kv), noise(4, q)]
}

struct Uploaded {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    grad: Tensor,
    mask: Option<Tensor>,
}

fn upload_all(device: &Device, s: &AttentionSpec<'_>, [q, k, v, grad]: &[Vec<f32>; 4]) -> Uploaded {
    let (q_shape, k_shape) = ([s.batch, s.nq, s.heads * s.head_dim], [s.batch, s.nk, s.kv_heads * s.head_dim]);
    Uploaded {
        q: upload(device, &q_shape, q),
        k: upload(device, &k_shape, k),
        v: upload(device, &k_shape, v),
        grad: upload(device, &q_shape, grad),
        mask: s.key_mask.map(|m| Tensor::from_u32(device, &[s.batch, s.nk], m).unwrap()),
    }
}

fn options<'a>(s: &AttentionSpec<'_>, mask: Option<&'a Tensor>) -> Attention<'a> {
    Attention::new(s.heads)
        .kv_heads(s.kv_heads)
        .causal(s.causal)
        .window(s.window)
        .key_mask(mask)
        .scale(s.scale as f32)
        .dropout(s.dropout)
}

/// Result, log-sum-exp and the three gradients.
fn run(u: &Uploaded, s: &AttentionSpec<'_>) -> [Vec<f32>; 5] {
    let options = options(s, u.mask.as_ref());
    poison(u.q.device(), &[u.q.len(), s.batch * s.heads * s.nq]);
    let (o, lse) = ops::attention_with_lse(&u.q, &u.k, &u.v, &options).unwrap();
    assert_eq!(o.shape(), u.q.shape());
    let [dq, dk, dv] = ops::attention_backward([&u.q, &u.k, &u.v], &o, &lse, &u.grad, &options).unwrap();
    assert_eq!((dq.shape(), dk.shape(), dv.shape()), (u.q.shape(), u.k.shape(), u.v.shape()));
    [o, lse, dq, dk, dv].map(|t| t.to_f32().unwrap())
}

fn twin(s: &AttentionSpec<'_>, x: &[Vec<f32>; 4]) -> [Vec<f32>; 5] {
    let [q, k, v, grad] = x.each_ref().map(|x| wide(x));
    let (o, lse) = reference::attention(&q, &k, &v, s);
    let [dq, dk, dv] = reference::attention_backward(&q, &k, &v, &grad, s);
    [o, lse, dq, dk, dv].map(|x| narrow(&x))
}

fn check(name: &str, device: &Device, s: &AttentionSpec<'_>) {
    let x = inputs(s);
    let (got, want) = (run(&upload_all(device, s, &x), s), twin(s, &x));
    // Scores are sums of D products of size 4, scaled; weights inherit their error. Gradients sum over queries of a group.
    let score = 4.0 * s.scale as f32 * sum_tolerance(s.head_dim);
    let forward = 2.0 * score + sum_tolerance(s.nk);
    let backward = 4.0 * forward + 4.0 * sum_tolerance(s.nq * s.heads / s.kv_heads) + 2.0 * sum_tolerance(s.head_dim);
    for (i, (what, tolerance)) in
        [("o", forward), ("lse", forward), ("dq", backward), ("dk", backward), ("dv", backward)].into_iter().enumerate()
    {
        let label = format!("{name}, {what} of {s:?}");
        assert_close(&label, &got[i], &want[i], tolerance, 4e-6);
    }
}

#[test]
fn attention_and_its_gradients_equal_the_twin() {
    // The second row of the batch hides everything.
    let mask: Vec<u32> = (0..18).map(|i| u32::from(i < 9 && i % 4 != 2)).collect();
    let padded: Vec<u32> = (0..70).map(|i| u32::from(i < 66)).collect();
    let holes: Vec<u32> = (0..300).map(|i| u32::from(i % 7 != 3 && !(64..130).contains(&i))).collect();
    let cases = [
        spec(2, (17, 17), (2, 2), 64),
        AttentionSpec { causal: true, key_mask: Some(&mask), window: Some(4), ..spec(2, (5, 9), (4, 2), 12) },
        AttentionSpec { causal: true, ..spec(1, (9, 5), (1, 1), 1) },
        spec(1, (1, 1), (1, 1), 16),
        AttentionSpec { key_mask: Some(&padded), ..spec(1, (3, 70), (2, 1), 80) },
        AttentionSpec { window: Some(3), ..spec(1, (20, 20), (3, 1), 256) },
        AttentionSpec { causal: true, ..spec(1, (67, 67), (1, 1), 64) },
        // Several blocks of keys and tiles of queries, with the ends of all of them inside.
        AttentionSpec { key_mask: Some(&holes), ..spec(2, (45, 150), (4, 2), 20) },
        AttentionSpec { causal: true, window: Some(40), ..spec(1, (101, 101), (2, 1), 8) },
    ];
    for (i, (name, device)) in devices().iter().enumerate() {
        // Tiled kernels take this driver seconds to compile; what a device adds to an earlier one is what it runs.
        let which: &[usize] = match name.as_str() {
            "f16 off" => &[1],
            "software off" => &[1, 2, 5, 6, 7],
            "all off" => &[0],
            _ => &[0, 1, 2, 3, 4, 5, 6, 7, 8],
        };
        for &case in which {
            check(name, device, &cases[case]);
        }
        if i == 0 {
            // More workgroups than one dimension holds, for whichever variant takes eight queries to a workgroup.
            check(name, device, &spec(66_000, (1, 1), (1, 1), 2));
        }
    }
}

#[test]
fn dropped_probabilities_equal_the_twin() {
    let holes: Vec<u32> = (0..130).map(|i| u32::from(i % 7 != 3)).collect();
    let mut dropout = Dropout::new(0.1, 0x1234_5678_9abc, 41);
    // A block of LeWM's predictor; one key; shared heads, hidden keys, a window and lengths off the tile.
    let lewm = AttentionSpec { causal: true, dropout: Some(dropout), ..spec(2, (3, 3), (16, 16), 64) };
    let one = AttentionSpec { dropout: Some(Dropout::new(0.5, 2, 0)), ..spec(5, (1, 1), (2, 2), 3) };
    dropout.p = 0.6;
    let odd = AttentionSpec {
        key_mask: Some(&holes),
        window: Some(50),
        dropout: Some(dropout),
        ..spec(2, (129, 65), (4, 2), 5)
    };
    for (name, device) in devices() {
        for s in [lewm, one, odd] {
            check(&name, &device, &s);
        }
    }
}

#[test]
fn dropout_of_probabilities_draws_as_dropout_does() {
    // With one-hot values the result is the probabilities themselves.
    let (batch, heads, nq, nk) = (2, 3, 4, 5);
    let s = spec(batch, (nq, nk), (heads, heads), nk);
    let [q, k, _, grad] = inputs(&s);
    let place = |i: usize| (i % nk, i / nk / heads % nk);
    let v = (0..batch * nk * heads * nk).map(|i| if place(i).0 == place(i).1 { 1.0 } else { 0.0 }).collect();
    let x = [q, k, v, grad];
    let by_head = |o: &[f32]| -> Vec<f32> {
        let from = |at: usize| {
            let (j, i, h, b) = (at % nk, at / nk % nq, at / nk / nq % heads, at / nk / nq / heads);
            o[((b * nq + i) * heads + h) * nk + j]
        };
        (0..o.len()).map(from).collect()
    };
    for (name, device) in devices() {
        let u = upload_all(&device, &s, &x);
        let whole = by_head(&run(&u, &s)[0]);
        for options in [Dropout::new(0.3, 5, 1), Dropout::new(0.3, 5, 2), Dropout::new(0.3, 6 << 40, 1)] {
            let got = by_head(&run(&u, &AttentionSpec { dropout: Some(options), ..s })[0]);
            let want = ops::dropout(&upload(&device, &[batch, heads, nq, nk], &whole), &options).unwrap();
            assert_close(&name, &got, &want.to_f32().unwrap(), 1e-6, 1e-6);
            assert!(got.contains(&0.0) && got.iter().any(|p| *p > 0.0), "{name}: nothing fell, or all");
        }
        // A probability of 0 drops nothing.
        let none = run(&u, &AttentionSpec { dropout: Some(Dropout::new(0.0, 1, 1)), ..s });
        assert_eq!(by_head(&none[0]), whole, "{name}");
    }
    let device = device();
    let q = upload(&device, &[1, 4], &[0.0; 4]);
    for p in [1.0, -0.1, f64::NAN] {
        let options = Attention::new(1).dropout(Some(Dropout::new(p, 1, 1)));
        assert!(matches!(ops::attention(&q, &q, &q, &options), Err(Error::Invalid(_))), "{p}");
    }
}

#[test]
fn hidden_keys_and_other_rows_never_matter() {
    let mask = [1, 0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0];
    let s = AttentionSpec { key_mask: Some(&mask), ..spec(2, (6, 6), (2, 1), 8) };
    // One device for each variant.
    for (name, device) in devices().into_iter().take(3) {
        let clean = inputs(&s);
        let mut poisoned = clean.clone();
        for (at, &real) in mask.iter().enumerate() {
            if real == 0 {
                poisoned[1][at * 8..(at + 1) * 8].fill(f32::NAN);
                poisoned[2][at * 8..(at + 1) * 8].fill(f32::INFINITY);
            }
        }
        // One query of the second batch row, in its first head.
        let bad = (6 + 3) * 2 * 8;
        poisoned[0][bad] = f32::NAN;
        let want = twin(&s, &clean);
        let got = run(&upload_all(&device, &s, &poisoned), &s);
        let tolerance = 1e-5;
        // Everything of the first batch row, and in the second all other queries' results.
        assert_close(&format!("{name}, o"), &got[0][..bad], &want[0][..bad], tolerance, 1e-5);
        assert_close(&format!("{name}, o after"), &got[0][bad + 8..], &want[0][bad + 8..], tolerance, 1e-5);
        assert!(got[0][bad..bad + 8].iter().all(|x| x.is_nan()), "{name}: a NaN query gives NaN");
        assert_close(&format!("{name}, dq"), &got[2][..bad], &want[2][..bad], tolerance, 1e-5);
        for i in [3, 4] {
            assert_close(&format!("{name}, dk, dv"), &got[i][..48], &want[i][..48], tolerance, 1e-5);
        }
    }
}

#[test]
fn gradients_flow_through_a_graph() {
    let device = device();
    let plain = AttentionSpec { causal: true, ..spec(2, (5, 5), (2, 1), 4) };
    for s in [plain, AttentionSpec { dropout: Some(Dropout::new(0.25, 17, 4)), ..plain }] {
        check_graph(&device, &s);
    }
}

/// The gradient of the input of three projections against central differences.
fn check_graph(device: &Device, s: &AttentionSpec<'_>) {
    let width = 6;
    let x = noise(11, 2 * 5 * width);
    let (wq, wk, wv) = (noise(12, 8 * width), noise(13, 4 * width), noise(14, 4 * width));
    let seed = noise(15, 2 * 5 * 8);
    let tape = Tape::new();
    let leaf = tape.leaf(upload(device, &[2, 5, width], &x));
    let project = |w: &[f32]| {
        let w = upload(device, &[w.len() / width, width], w);
        autograd::linear(&leaf, &w.into(), None).unwrap()
    };
    let o = autograd::attention(&project(&wq), &project(&wk), &project(&wv), &options(s, None)).unwrap();
    let grads = tape.backward(&o, Some(upload(device, &[2, 5, 8], &seed))).unwrap();
    let got = grads.get(&leaf).unwrap().to_f32().unwrap();
    let value = |x: &[f64]| {
        let project = |w: &[f32]| -> Vec<f64> {
            x.chunks(width)
                .flat_map(|x| w.chunks(width).map(|w| x.iter().zip(w).map(|(x, &w)| x * f64::from(w)).sum()))
                .collect()
        };
        let (o, _) = reference::attention(&project(&wq), &project(&wk), &project(&wv), s);
        o.iter().zip(&seed).map(|(o, &s)| o * f64::from(s)).sum::<f64>()
    };
    let want: Vec<f32> = (0..x.len())
        .map(|i| {
            let (mut up, mut down) = (wide(&x), wide(&x));
            up[i] += 1e-5;
            down[i] -= 1e-5;
            ((value(&up) - value(&down)) / 2e-5) as f32
        })
        .collect();
    assert!(want.iter().any(|w| w.abs() > 0.1), "a test of nothing");
    assert_close("dx", &got, &want, 2e-5, 1e-5);
}

#[test]
fn the_same_inputs_give_the_same_bits() {
    let device = device();
    let s = spec(3, (19, 33), (4, 2), 64);
    let u = upload_all(&device, &s, &inputs(&s));
    let bits = |r: [Vec<f32>; 5]| r.map(|x| x.into_iter().map(f32::to_bits).collect::<Vec<_>>());
    assert_eq!(bits(run(&u, &s)), bits(run(&u, &s)));
}

#[test]
fn attention_without_keys_or_queries_is_zero_or_empty() {
    let device = device();
    let q = upload(&device, &[2, 3, 8], &noise(5, 48));
    let none = upload(&device, &[2, 0, 8], &[]);
    let o = ops::attention(&q, &none, &none, &Attention::new(2)).unwrap();
    assert_eq!(o.to_f32().unwrap(), vec![0.0; 48]);
    assert_eq!(ops::attention(&none, &q, &q, &Attention::new(2)).unwrap().shape(), [2, 0, 8]);
}

#[test]
fn attention_refuses_what_does_not_fit() {
    let device = device();
    let q = upload(&device, &[2, 3, 24], &noise(7, 144));
    let k = upload(&device, &[2, 4, 12], &noise(8, 96));
    let error = ops::attention(&q, &k, &k, &Attention::new(4)).unwrap_err();
    assert!(error.to_string().contains("[2, 3, 24]") && error.to_string().contains("4 key heads"), "{error}");
    assert!(ops::attention(&q, &k, &k, &Attention::new(4).kv_heads(2)).is_ok());
    for bad in [Attention::new(4).kv_heads(3), Attention::new(0), Attention::new(5).kv_heads(5)] {
        assert!(matches!(ops::attention(&q, &k, &k, &bad), Err(Error::Shape { op: "attention", .. })));
    }
    let options = Attention::new(4).kv_heads(2);
    assert!(ops::attention(&q, &k, &q, &options).is_err(), "values of another shape");
    assert!(matches!(ops::attention(&q, &k, &k, &options.key_mask(Some(&k))), Err(Error::Dtype { .. })));
    let short = Tensor::from_u32(&device, &[4], &[1; 4]).unwrap();
    assert!(ops::attention(&q, &k, &k, &options.key_mask(Some(&short))).is_err());
}
