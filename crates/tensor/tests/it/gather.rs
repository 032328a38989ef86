use half::f16;
use vljepa_tensor::{Dtype, Error, Tensor, autograd, ops, reference};

use crate::support::{assert_close, check_gradients, device, devices, noise, two_devices, upload};

#[test]
fn rows_are_gathered_from_both_types_of_table() {
    for (name, device) in devices() {
        for (rows, cols) in [(1, 1), (5, 3), (7, 66), (3, 131)] {
            let mut table = noise(1, rows * cols);
            table[0] = f32::INFINITY;
            let ids: Vec<u32> = (0..11).map(|i| (i * i % rows) as u32).collect();
            let it = ops::upload_ids(&device, &[11], &ids, rows).unwrap();
            let y = ops::gather_rows(&upload(&device, &[rows, cols], &table), &it).unwrap();
            assert_eq!(y.shape(), [11, cols]);
            let what = format!("{name}, {rows}x{cols}");
            assert_close(&what, &y.to_f32().unwrap(), &reference::gather_rows(&table, cols, &ids), 0.0, 0.0);
            let halves: Vec<f16> = table.iter().map(|&v| f16::from_f32(v)).collect();
            let y = ops::gather_rows(&Tensor::from_f16(&device, &[rows, cols], &halves).unwrap(), &it).unwrap();
            let rounded = reference::round_f16(&table);
            // A driver may flush the halves below 6.1e-5 that noise does not avoid.
            let want = reference::gather_rows(&rounded, cols, &ids);
            assert_close(&format!("{what} f16"), &y.to_f32().unwrap(), &want, 6.2e-5, 0.0);
            table[0] = -0.3;
            let bytes = Tensor::from_f32_as_i8(&device, &[rows, cols], &table).unwrap();
            let rounded = reference::round_i8(&table, cols);
            let want = reference::gather_rows(&rounded, cols, &ids);
            let y = ops::gather_rows(&bytes, &it).unwrap().to_f32().unwrap();
            assert_close(&format!("{what} i8"), &y, &want, 0.0, 1e-6);
            let all = ops::cast(&bytes, Dtype::F32).unwrap().to_f32().unwrap();
            assert_close(&format!("{what} i8 cast"), &all, &rounded, 0.0, 1e-6);
            assert_close(&format!("{what} i8 read"), &bytes.to_f32().unwrap(), &rounded, 0.0, 1e-6);
        }
    }
}

#[test]
fn a_table_in_parts_is_one_table() {
    for (name, device) in two_devices() {
        let (rows, cols) = (11, 67);
        let table = noise(3, rows * cols);
        let ids = [10, 0, 4, 5, 3, 9, 4, u32::MAX, 11];
        let it = Tensor::from_u32(&device, &[3, 3], &ids).unwrap();
        let upload_part = |range: std::ops::Range<usize>| {
            upload(&device, &[range.len(), cols], &table[range.start * cols..range.end * cols])
        };
        let parts = [upload_part(0..4), upload_part(4..5), upload_part(5..11)];
        for to in [Dtype::F32, Dtype::F16, Dtype::I8] {
            let cast = |t: &Tensor| match to {
                Dtype::I8 => Tensor::from_f32_as_i8(&device, t.shape(), &t.to_f32().unwrap()).unwrap(),
                to => ops::cast(t, to).unwrap(),
            };
            let parts: Vec<Tensor> = parts.iter().map(cast).collect();
            let got = ops::gather_rows_of_parts(&parts.iter().collect::<Vec<_>>(), &it).unwrap();
            assert_eq!(got.shape(), [3, 3, cols]);
            let whole = ops::gather_rows(&cast(&upload_part(0..rows)), &it).unwrap();
            let bits = |t: &Tensor| t.to_f32().unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>();
            assert_eq!(bits(&got), bits(&whole), "{name}");
        }
        assert!(matches!(ops::gather_rows_of_parts(&[], &it), Err(Error::Shape { .. })));
        let narrow = upload(&device, &[1, 2], &[0.0, 1.0]);
        assert!(matches!(ops::gather_rows_of_parts(&[&parts[0], &narrow], &it), Err(Error::Shape { .. })));
    }
}

#[test]
fn ids_out_of_range_are_refused_or_poison_their_row_alone() {
    let device = device();
    let error = ops::upload_ids(&device, &[3], &[0, 4, 9], 4).unwrap_err().to_string();
    assert!(error.contains("id 4 at place 1") && error.contains("4 rows"), "{error}");
    let table = upload(&device, &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let ids = Tensor::from_u32(&device, &[3], &[1, 2, u32::MAX]).unwrap();
    let y = ops::gather_rows(&table, &ids).unwrap().to_f32().unwrap();
    assert_eq!(y[..2], [3.0, 4.0]);
    assert!(y[2..].iter().all(|v| v.is_nan()));
    let sums = ops::scatter_add(&upload(&device, &[3, 1], &[1.0, 2.0, 4.0]), &ids, 2).unwrap();
    assert_eq!(sums.to_f32().unwrap(), [0.0, 1.0]);
    assert!(matches!(ops::gather_rows(&table, &table), Err(Error::Dtype { .. })));
    assert!(matches!(ops::gather_rows(&ids, &ids), Err(Error::Shape { .. })));
    assert!(matches!(ops::scatter_add(&table, &ids, 2), Err(Error::Shape { .. })));
}

#[test]
fn rows_with_one_id_add_up_in_order() {
    for (name, device) in two_devices() {
        for (n, cols, table_rows) in [(1, 1, 1), (9, 5, 4), (130, 67, 11), (70, 3, 1000)] {
            let x = noise(2, n * cols);
            let ids: Vec<u32> = (0..n).map(|i| (i * i * 7 % table_rows) as u32).collect();
            let it = Tensor::from_u32(&device, &[n], &ids).unwrap();
            let xt = upload(&device, &[n, cols], &x);
            let got = ops::scatter_add(&xt, &it, table_rows).unwrap();
            assert_eq!(got.shape(), [table_rows, cols]);
            let want = reference::scatter_add(&x, cols, &ids, table_rows);
            let got = got.to_f32().unwrap();
            assert_close(&format!("{name}, {n} into {table_rows}"), &got, &want, 4e-6, 0.0);
            assert_eq!(got, ops::scatter_add(&xt, &it, table_rows).unwrap().to_f32().unwrap(), "{name}: same bits");
        }
    }
    let device = device();
    let ids = Tensor::from_u32(&device, &[2, 3], &[3, 0, 3, 1, 3, 0]).unwrap();
    check_gradients(
        "gather_rows",
        &device,
        &[(&[5, 4], noise(3, 20))],
        |v| autograd::gather_rows(&v[0], &ids).unwrap(),
        |v| reference::gather_rows(&v[0], 4, &[3, 0, 3, 1, 3, 0]),
        1e-4,
    );
}
