//! All benches over a bucket in memory, beside bare PUTs and GETs. It answers at once: what a request
//! takes elsewhere comes on top, as often as `growth` counts requests.

benches::suite!(s3, harnesses::S3Harness::new(), floors = [benches::floors::bucket()]);
