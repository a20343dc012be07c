//! `object_store`'s own suite, which wants sorted folders and nothing to fail.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use object_store::integration as suite;
use prophet_bucket::{Bucket, Order, Settings};

/// Plain; and as strict as the suite bears, which compares some listings in their order.
fn buckets() -> [Bucket; 3] {
    let strict = Settings::strict(3).order(Order::Bytewise);
    [Bucket::with(Settings::plain(1)), Bucket::new(2), Bucket::with(strict.pages(3, true))]
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

macro_rules! suite {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            for bucket in buckets() {
                block_on(suite::$name(&bucket.store()));
            }
        }
    )*};
}

suite!(
    put_get_delete_list,
    put_get_attributes,
    get_opts,
    stream_get,
    list_uses_directories_correctly,
    list_with_delimiter,
    rename_and_copy,
    copy_if_not_exists,
    copy_rename_nonexistent_object,
    multipart_out_of_order,
    list_with_offset_exclusivity
);

#[test]
fn put_opts() {
    for bucket in buckets() {
        block_on(suite::put_opts(&bucket.store(), true));
    }
}

#[test]
fn multipart() {
    for bucket in buckets() {
        block_on(suite::multipart(&bucket.store(), &bucket.store()));
        block_on(suite::multipart_with_opts(&bucket.store(), &bucket.store()));
        block_on(suite::multipart_put_part_out_of_order(&bucket.store(), &bucket.store()));
    }
}

#[test]
fn multipart_race_condition() {
    for bucket in buckets() {
        block_on(suite::multipart_race_condition(&bucket.store(), true));
    }
}

#[test]
fn get_nonexistent_object() {
    for bucket in buckets() {
        let got = block_on(suite::get_nonexistent_object(&bucket.store(), None));
        let error = got.unwrap_err().to_string();
        assert!(error.contains("404 NoSuchKey"), "{error}");
    }
}

#[test]
fn list_paginated() {
    // Full pages: it counts what is on them.
    let bucket = Bucket::with(Settings::plain(4));
    block_on(suite::list_paginated(&bucket.store(), &bucket.store()));
}
