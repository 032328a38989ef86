//! Opening a device by a name that people give.

use vljepa_tensor::{AdapterChoice, Device, DeviceOptions};

use crate::error::Result;

/// Opens the device that `name` selects: `auto`, `cpu` (a software adapter), an index, or part of an adapter's name.
///
/// # Errors
/// No such adapter, or an adapter that the driver cannot open.
pub fn open_device(name: &str) -> Result<Device> {
    let mut options = DeviceOptions::default();
    options.adapter = AdapterChoice::parse(name);
    Ok(Device::open(options)?)
}
