//! Resource exports of whole objects: exact JSON, and nothing secret.
#![allow(clippy::unwrap_used, clippy::expect_used)]
