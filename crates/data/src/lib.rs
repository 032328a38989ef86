//! Pictures and texts for joint-embedding training: decoding, resizing, augmentation and the emoji-vendors set.
