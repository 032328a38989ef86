//! A model written out; reading parameters back waits for the device, which a browser does not allow.

use vljepa_tensor::Error;

use super::VlJepa;
use crate::error::{ModelError, Result};
use crate::formats::{Storage, Writer};

impl VlJepa {
    /// The bytes of a `model.safetensors`. Waits for the device.
    ///
    /// # Errors
    /// What reading the parameters back reports, and values that the storage cannot hold.
    pub fn save(&self, storage: Storage) -> Result<Vec<u8>> {
        let in_parts = self.members().find_map(|m| m.words.in_parts());
        if let Some(name) = in_parts.or(self.y_encoder.table_in_parts()) {
            return Err(ModelError::Tensor(Error::Invalid(format!(
                "{name} is larger than this device's bindings and lies there in parts, so the model cannot be saved from it"
            ))));
        }
        let mut writer = Writer::new();
        writer.metadata("format", "pt");
        for param in self.params() {
            let (values, shape) = (param.tensor().to_f32()?, param.tensor().shape());
            match storage {
                Storage::Int8Rows if shape.len() > 1 => writer.i8_rows(param.name(), shape, &values)?,
                Storage::F16 => writer.f16(param.name(), shape, &values)?,
                _ => writer.f32(param.name(), shape, &values)?,
            }
        }
        writer.finish()
    }
}
