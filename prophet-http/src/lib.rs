//! Reading trees of files over HTTP.
