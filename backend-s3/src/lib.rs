//! S3.
mod bucket;
mod commit_object;
mod error;
mod layout;
mod put;
mod runtime;
