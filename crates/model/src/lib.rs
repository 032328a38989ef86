//! V-JEPA 2, BERT and Llama blocks, and VL-JEPA assembled from them, on vljepa-tensor.
