//! VL-JEPA on any GPU: embed, classify, search and train from one command.
