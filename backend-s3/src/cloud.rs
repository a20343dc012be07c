//! Buckets by their URLs, with clients that this crate builds.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{ClientConfigKey, ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
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
        let (store, prefix, place) = self.client(url, Sends::Once)?;
        let runs = Runs::Cloud(self.patience);
        self.create_at(store, prefix.as_ref(), place, runs, identity).await
    }

    /// Opens the replica at a URL.
    ///
    /// # Errors
    /// A URL that names no bucket. Those of [`open_in`](Self::open_in).
    pub async fn open(&self, url: &str) -> Result<S3Store, StoreError> {
        let (store, prefix, place) = self.client(url, Sends::Once)?;
        self.open_at(store, prefix.as_ref(), place, Runs::Cloud(self.patience)).await
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
        let (store, prefix, place) = self.client(url, Sends::Again)?;
        Ok(BucketTree::new(store, prefix, place))
    }

    /// The client for a URL, the prefix in the bucket, and the words for it.
    fn client(
        &self,
        url: &str,
        sends: Sends,
    ) -> Result<(Arc<dyn ObjectStore>, Path, String), StoreError> {
        let bad = |why: String| StoreError::io(shown(url), "finding the bucket", why);
        let parsed = Url::parse(url).map_err(|error| bad(error.to_string()))?;
        let place = shown(url);
        let parts = ObjectStoreScheme::parse(&parsed);
        let (scheme, path) = parts.map_err(|error| bad(error.to_string()))?;
        let store = self.build(&scheme, url, sends);
        Ok((store.map_err(|error| bad(error.to_string()))?, path, place))
    }

    fn build(
        &self,
        scheme: &ObjectStoreScheme,
        url: &str,
        sends: Sends,
    ) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
        // The app may have another one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let max_retries = if sends == Sends::Once { 0 } else { self.retries as usize };
        let retry = RetryConfig { max_retries, ..RetryConfig::default() };
        let default = ClientOptions::new().get_config_value(&ClientConfigKey::Timeout);
        macro_rules! client {
            ($builder:ty) => {{
                let mut builder = <$builder>::from_env().with_url(url).with_retry(retry.clone());
                for (key, value) in &self.config {
                    builder = builder.with_config(key.parse()?, value);
                }
                let timeout = TIMEOUT.parse()?;
                if sends == Sends::Once && builder.get_config_value(&timeout) == default {
                    builder = builder.with_config(timeout, NEVER);
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

/// Whether a client sends a request that failed again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sends {
    /// No: it would hide what became of the first of several conditional writes. How long it may take is
    /// [`Patience`](crate::patience::Patience)'s, unless the configuration has a limit.
    Once,
    Again,
}

/// What the client calls the limit to the whole of a request.
const TIMEOUT: &str = "timeout";
const NEVER: &str = "1 year";

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
            let error = S3Options::new().client(url, Sends::Once).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(shown("s3://key:secret@bugs/ours/?a=b"), "s3://bugs/ours");
    }

    #[cfg(feature = "aws")]
    #[test]
    fn a_url_and_options_are_enough() {
        let options = S3Options::new().config("aws_region", "eu-central-1");
        let (_, prefix, place) = options.client("s3://bugs/ours/of/them", Sends::Once).unwrap();
        assert_eq!((prefix.as_ref(), place.as_str()), ("ours/of/them", "s3://bugs/ours/of/them"));
        let error =
            options.config("aws_colour", "red").client("s3://bugs", Sends::Once).unwrap_err();
        assert!(error.to_string().contains("aws_colour"), "{error}");
    }
}
