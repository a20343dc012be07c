//! Where a server is, and what opens it.

/// What a client of S3 has to be told. With the feature `client` there is one: `Endpoint::client`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoint {
    /// `http://127.0.0.1:` and a port. Buckets are parts of paths, not of names of hosts.
    pub url: String,
    /// Any will do; signatures name one.
    pub region: String,
    /// A bucket that is there.
    pub bucket: String,
    /// The key that requests are signed with, by name.
    pub access_key: String,
    /// And the key itself.
    pub secret_key: String,
}

impl Endpoint {
    /// What a server of this crate has that listens on this port of the loopback address.
    pub fn at(port: u16) -> Self {
        Self {
            url: format!("http://127.0.0.1:{port}"),
            region: "us-east-1".to_owned(),
            bucket: "prophet".to_owned(),
            access_key: "prophet-tests".to_owned(),
            secret_key: "not-so-secret".to_owned(),
        }
    }

    /// The port that it listens on, if the URL is of that kind.
    pub fn port(&self) -> Option<u16> {
        self.url.rsplit(':').next()?.parse().ok()
    }

    /// The client of `object_store`, told all this, and never trying again. Build it in the runtime
    /// that it is to be used in.
    #[cfg(feature = "client")]
    pub fn client(&self) -> object_store::aws::AmazonS3Builder {
        // Without one, `reqwest` builds no client, though nothing is encrypted here. An error says
        // that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        object_store::aws::AmazonS3Builder::new()
            .with_endpoint(&self.url)
            .with_allow_http(true)
            .with_region(&self.region)
            .with_bucket_name(&self.bucket)
            .with_access_key_id(&self.access_key)
            .with_secret_access_key(&self.secret_key)
            .with_retry(object_store::RetryConfig {
                max_retries: 0,
                ..object_store::RetryConfig::default()
            })
    }
}
