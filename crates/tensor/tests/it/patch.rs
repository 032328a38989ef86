use vljepa_tensor::ops::{self, Conv2dPatches};
use vljepa_tensor::{Error, autograd, reference};

use crate::support::{assert_close, check_gradients, device, devices, noise, upload};

fn options(kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Conv2dPatches {
    let mut options = Conv2dPatches::new(1, 1, 0);
    (options.kernel, options.stride, options.padding) = (kernel, stride, padding);
    options
}

#[test]
fn pictures_become_patches_and_patches_gather_back() {
    let cases: [([usize; 4], Conv2dPatches); 6] = [
        ([1, 1, 1, 1], Conv2dPatches::new(1, 1, 0)),
        ([2, 7, 5, 3], Conv2dPatches::new(3, 2, 1)),
        ([1, 8, 8, 4], Conv2dPatches::new(4, 4, 0)),
        ([2, 9, 6, 2], options([3, 2], [1, 3], [2, 0])),
        // Steps longer than the patch skip pixels, whose gradient is zero.
        ([1, 11, 11, 1], Conv2dPatches::new(2, 3, 0)),
        ([1, 5, 4, 7], options([5, 4], [1, 1], [4, 3])),
    ];
    for (name, device) in devices() {
        for (shape, options) in &cases {
            let what = format!("{name}, {shape:?} {options:?}");
            let [_, height, width, _] = *shape;
            let grid = options.grid(height, width).unwrap();
            let mut x = noise(1, shape.iter().product());
            x[0] = f32::NAN;
            let y = ops::conv2d_patches(&upload(&device, shape, &x), options).unwrap();
            let want = reference::conv2d_patches(&x, *shape, grid, options);
            assert_eq!(y.shape()[1..3], grid);
            assert_close(&what, &y.to_f32().unwrap(), &want, 0.0, 0.0);
            let mut dy = noise(2, want.len());
            *dy.last_mut().unwrap() = f32::INFINITY;
            let dx = ops::conv2d_patches_backward(&upload(&device, y.shape(), &dy), *shape, options).unwrap();
            let want = reference::conv2d_patches_backward(&dy, *shape, grid, options);
            assert_eq!(dx.shape(), shape);
            assert_close(&format!("{what} backward"), &dx.to_f32().unwrap(), &want, 4e-6, 0.0);
        }
    }
    let (shape, three) = ([1, 6, 5, 2], Conv2dPatches::new(3, 2, 1));
    check_gradients(
        "conv2d_patches",
        &device(),
        &[(&shape, noise(3, 60))],
        |v| autograd::conv2d_patches(&v[0], &three).unwrap(),
        |v| reference::conv2d_patches(&v[0], shape, [3, 3], &three),
        1e-4,
    );
}

#[test]
fn clips_become_tubelets_and_come_back() {
    let cases = [([1, 2, 3, 4, 6], 2, 2), ([2, 4, 1, 3, 6], 2, 3), ([2, 3, 2, 5, 5], 1, 5), ([1, 6, 3, 8, 8], 3, 4)];
    for (name, device) in devices() {
        for (clip, tubelet, patch) in cases {
            let what = format!("{name}, {clip:?} by {tubelet} x {patch}");
            let x = noise(4, clip.iter().product());
            let y = ops::tubelet_patches(&upload(&device, &clip, &x), tubelet, patch).unwrap();
            let tokens = clip[1] / tubelet * (clip[3] / patch) * (clip[4] / patch);
            assert_eq!(y.shape(), [clip[0], tokens, clip[2] * tubelet * patch * patch]);
            let want = reference::tubelet_patches(&x, clip, tubelet, patch);
            assert_close(&what, &y.to_f32().unwrap(), &want, 0.0, 0.0);
            let back = ops::tubelet_patches_backward(&y, clip, tubelet, patch).unwrap();
            assert_close(&format!("{what} back"), &back.to_f32().unwrap(), &x, 0.0, 0.0);
        }
    }
    let clip = [1, 2, 2, 4, 2];
    check_gradients(
        "tubelet_patches",
        &device(),
        &[(&clip, noise(5, 32))],
        |v| autograd::tubelet_patches(&v[0], 2, 2).unwrap(),
        |v| reference::tubelet_patches(&v[0], clip, 2, 2),
        1e-4,
    );
}

#[test]
fn patches_that_do_not_fit_are_refused() {
    let device = device();
    let x = upload(&device, &[1, 4, 4, 1], &[0.0; 16]);
    for (kernel, stride, padding) in [(5, 1, 0), (0, 1, 0), (2, 0, 0), (2, 1, 2)] {
        let result = ops::conv2d_patches(&x, &Conv2dPatches::new(kernel, stride, padding));
        assert!(matches!(result, Err(Error::Shape { .. })), "{kernel} {stride} {padding}");
    }
    assert!(ops::conv2d_patches_backward(&x, [1, 4, 4, 2], &Conv2dPatches::new(2, 2, 0)).is_err());
    let clip = upload(&device, &[1, 1, 1, 4, 4], &[0.0; 16]);
    let error = ops::tubelet_patches(&clip, 2, 2).unwrap_err().to_string();
    assert!(error.contains("[1, 1, 1, 4, 4]") && error.contains("2 x 2 x 2"), "{error}");
    assert!(ops::tubelet_patches(&clip, 1, 3).is_err());
    assert!(ops::tubelet_patches(&x, 1, 2).is_err());
    assert!(ops::tubelet_patches(&clip, 0, 0).is_err());
}
