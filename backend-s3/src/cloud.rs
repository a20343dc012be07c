//! Buckets by their URLs, with clients that this crate builds.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreScheme, RetryConfig};
use prophet_store::{Identity, StoreError};
use url::Url;

use crate::bucket::Runs;
use crate::options::S3Options;
use crate::store::S3Store;
use crate::tree::BucketTree;

impl S3Store {
    /// Creates the replica `identity` at a URL, and opens it, with the default options.
    ///
    /// # Errors
    /// Those of [`S3Options::create`].
    pub async fn create(url: &str, identity: Identity) -> Result<Self, StoreError> {
        S3Options::new().create(url, identity).await
    }

    /// Opens the replica at a URL for reading and writing, with the default options.
    ///
    /// # Errors
    /// Those of [`S3Options::open`].
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        S3Options::new().open(url).await
    }
}

impl S3Options {
    /// Sets an option of the client: `aws_endpoint`, `aws_region`, `aws_access_key_id`,
    /// `aws_virtual_hosted_style_request`, `allow_http`, and all others that `object_store` knows, by
    /// the names that they have in the environment, in lower case. It counts for more than the
    /// environment does.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.push((key.into(), value.into()));
        self
    }

    /// Creates the replica `identity` at a URL, such as `s3://bucket/prefix`, and opens it for reading
    /// and writing. Credentials, endpoint and region are those of the [`config`](Self::config), and
    /// else those of the environment (`AWS_*`) and the machine, as for every program that uses
    /// `object_store`.
    ///
    /// # Errors
    /// A URL that names no bucket. Those of [`create_in`](Self::create_in).
    pub async fn create(&self, url: &str, identity: Identity) -> Result<S3Store, StoreError> {
        let (store, prefix, place) = self.client(url, once())?;
        self.create_at(store, prefix.as_ref(), place, Runs::Cloud, identity).await
    }

    /// Opens the replica at a URL.
    ///
    /// # Errors
    /// A URL that names no bucket. Those of [`open_in`](Self::open_in).
    pub async fn open(&self, url: &str) -> Result<S3Store, StoreError> {
        let (store, prefix, place) = self.client(url, once())?;
        self.open_at(store, prefix.as_ref(), place, Runs::Cloud).await
    }

    /// The published tree at a URL, such as `s3://bucket/prefix`, to be written to or read from. Nothing
    /// is looked at yet. A request that fails in passing is sent again up to
    /// [`retries`](Self::retries) times.
    ///
    /// ```
    /// use backend_s3::S3Options;
    /// use prophet_files::Fetch;
    ///
    /// let options = S3Options::new().config("aws_region", "eu-central-1");
    /// assert_eq!(options.tree("s3://bugs/web")?.place(), "s3://bugs/web");
    /// assert!(options.tree("https://example.org/web").is_err());
    /// # Ok::<(), prophet_store::StoreError>(())
    /// ```
    ///
    /// # Errors
    /// A URL that names no bucket.
    pub fn tree(&self, url: &str) -> Result<BucketTree, StoreError> {
        let max_retries = self.retries as usize;
        let retry = RetryConfig { max_retries, ..RetryConfig::default() };
        let (store, prefix, place) = self.client(url, retry)?;
        Ok(BucketTree::new(store, prefix, place))
    }

    /// The client for a URL, the prefix in the bucket, and the words for it.
    fn client(
        &self,
        url: &str,
        retry: RetryConfig,
    ) -> Result<(Arc<dyn ObjectStore>, Path, String), StoreError> {
        let bad = |why: String| StoreError::io(shown(url), "finding the bucket", why);
        let parsed = Url::parse(url).map_err(|error| bad(error.to_string()))?;
        let place = shown(url);
        let parts = ObjectStoreScheme::parse(&parsed);
        let (scheme, path) = parts.map_err(|error| bad(error.to_string()))?;
        let store = self.build(&scheme, url, retry);
        Ok((store.map_err(|error| bad(error.to_string()))?, path, place))
    }

    fn build(
        &self,
        scheme: &ObjectStoreScheme,
        url: &str,
        retry: RetryConfig,
    ) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
        // The app may have another one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        macro_rules! client {
            ($builder:ty) => {{
                let mut builder = <$builder>::from_env().with_url(url).with_retry(retry.clone());
                for (key, value) in &self.config {
                    builder = builder.with_config(key.parse()?, value);
                }
                Ok(Arc::new(builder.build()?))
            }};
        }
        match scheme {
            #[cfg(feature = "aws")]
            ObjectStoreScheme::AmazonS3 => client!(object_store::aws::AmazonS3Builder),
            #[cfg(feature = "azure")]
            ObjectStoreScheme::MicrosoftAzure => client!(object_store::azure::MicrosoftAzureBuilder),
            #[cfg(feature = "gcp")]
            ObjectStoreScheme::GoogleCloudStorage => {
                client!(object_store::gcp::GoogleCloudStorageBuilder)
            }
            other => Err(object_store::Error::NotSupported {
                source: format!(
                    "{other:?} is no kind of bucket that this program was built for; there are s3:// \
                     and, with the features `azure` and `gcp`, az:// and gs://"
                )
                .into(),
            }),
        }
    }
}

/// A client that sends a conditional write again by itself hides what became of the first.
fn once() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// A URL without what is secret in it.
fn shown(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return "a bucket".to_owned() };
    // Neither fails for a URL with a host.
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.set_query(None);
    parsed.to_string().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_bucket_is_refused_and_secrets_are_not_shown() {
        for (url, why) in [
            ("no url", "relative URL"),
            ("https://example.org/bugs", "no kind of bucket"),
            ("memory:///bugs", "no kind of bucket"),
        ] {
            let error = S3Options::new().client(url, once()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(shown("s3://key:secret@bugs/ours/?a=b"), "s3://bugs/ours");
    }

    #[cfg(feature = "aws")]
    #[test]
    fn a_url_and_options_are_enough() {
        let options = S3Options::new().config("aws_region", "eu-central-1");
        let (_, prefix, place) = options.client("s3://bugs/ours/of/them", once()).unwrap();
        assert_eq!((prefix.as_ref(), place.as_str()), ("ours/of/them", "s3://bugs/ours/of/them"));
        let error = options.config("aws_colour", "red").client("s3://bugs", once()).unwrap_err();
        assert!(error.to_string().contains("aws_colour"), "{error}");
    }
}
