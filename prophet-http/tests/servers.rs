//! Pulling from real web servers. `nginx` and `python3` must be installed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "a test waits for a server to begin")]

mod support;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_lite::future::block_on;
use prophet_http::{HttpOptions, HttpSource};
use support::{assert_sound, digests, fill, other, publish, pull, replica};
use tempfile::TempDir;

const CHANGESETS: usize = 50_000;

/// A server that ends with the test.
struct Server {
    child: Child,
    directory: TempDir,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request as nginx wrote it down.
#[derive(Debug)]
struct Logged {
    method: String,
    status: u16,
    /// With the headers.
    bytes: u64,
    uri: String,
    conditional: bool,
}

const NGINX: &str = r#"
daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 64; }
http {
    log_format plain '$request_method $status $bytes_sent $request_uri "$http_if_none_match"';
    access_log access.log plain;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    types { application/json json; application/zstd zst; }
    gzip on;
    gzip_types application/json;
    server {
        listen 127.0.0.1:PORT;
        root tree;
        location / { add_header Cache-Control "public, max-age=31536000, immutable"; }
        location = /manifest.json { add_header Cache-Control "no-cache"; }
    }
}
"#;

impl Server {
    fn start(program: &str, arguments: impl Fn(u16, &Path) -> Vec<String>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("tree")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(program)
            .args(arguments(port, directory.path()))
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.path().join("errors")).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Self { child, directory, port };
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = child.kill();
        let _ = child.wait();
        panic!("{}", fs::read_to_string(directory.path().join("errors")).unwrap());
    }

    fn nginx() -> Self {
        Self::start("nginx", |port, directory| {
            let configuration = NGINX.replace("PORT", &port.to_string());
            fs::write(directory.join("nginx.conf"), configuration).unwrap();
            let directory = directory.to_str().unwrap().to_owned();
            ["-p", &directory, "-c", "nginx.conf", "-e", "stderr"].map(str::to_owned).to_vec()
        })
    }

    /// As nginx, over TLS, with a certificate that nobody but the test trusts.
    fn secure_nginx() -> Self {
        Self::start("nginx", |port, directory| {
            let made = Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
                .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
                .args(["-addext", "subjectAltName=IP:127.0.0.1"])
                .args(["-addext", "basicConstraints=critical,CA:FALSE"])
                .args(["-keyout", "key.pem", "-out", "cert.pem"])
                .current_dir(directory)
                .output()
                .unwrap_or_else(|error| panic!("openssl is needed for this test: {error}"));
            assert!(made.status.success(), "{made:?}");
            let listen = format!("{port} ssl");
            let configuration = NGINX.replace("PORT", &listen).replace(
                "root tree;",
                "root tree; ssl_certificate cert.pem; ssl_certificate_key key.pem;
                 location /plain/ { return 302 http://127.0.0.1:1/manifest.json; }",
            );
            fs::write(directory.join("nginx.conf"), configuration).unwrap();
            let directory = directory.to_str().unwrap().to_owned();
            ["-p", &directory, "-c", "nginx.conf", "-e", "stderr"].map(str::to_owned).to_vec()
        })
    }

    fn python() -> Self {
        Self::start("python3", |port, directory| {
            let tree = directory.join("tree").to_str().unwrap().to_owned();
            let port = port.to_string();
            let bind = ["-m", "http.server", &port, "--bind", "127.0.0.1", "--directory", &tree];
            bind.map(str::to_owned).to_vec()
        })
    }

    fn tree(&self) -> std::path::PathBuf {
        self.directory.path().join("tree")
    }

    async fn open(&self) -> HttpSource {
        let url = format!("http://127.0.0.1:{}/", self.port);
        HttpSource::open_with(&url, HttpOptions::new().no_proxy()).await.unwrap()
    }

    /// The requests since the log was read last.
    fn logged(&self) -> Vec<Logged> {
        // A line is written once the answer was sent.
        std::thread::sleep(Duration::from_millis(200));
        let path = self.directory.path().join("access.log");
        let text = fs::read_to_string(&path).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        let lines = text.lines().filter(|line| line.starts_with(char::is_alphabetic));
        let logged = lines.map(|line| {
            let parts: Vec<_> = line.split(' ').collect();
            Logged {
                method: parts[0].to_owned(),
                status: parts[1].parse().unwrap(),
                bytes: parts[2].parse().unwrap(),
                uri: parts[3].to_owned(),
                conditional: !parts[4].contains("\"-\""),
            }
        });
        logged.collect()
    }
}

#[test]
fn nginx_serves_a_large_replica_with_few_requests() {
    let server = Server::nginx();
    block_on(async {
        let ada = replica().await;
        let keys = fill(&ada, 5_000, CHANGESETS).await;
        let published = publish(&ada, &server.tree()).await;
        assert_eq!(published.changesets, CHANGESETS as u64);
        let source = server.open().await;
        let opened = server.logged();
        assert!(opened.iter().all(|it| it.status == 200), "{opened:?}");

        // A clone.
        let bob = other(&ada).await;
        let report = pull(&bob, &source).await;
        assert_eq!(report.integrated, CHANGESETS as u64);
        let cloned = server.logged();
        let bytes: u64 = cloned.iter().map(|it| it.bytes).sum();
        eprintln!(
            "clone of {CHANGESETS}: {} + {} requests, {bytes} bytes, payload {}; published {published:?}",
            opened.len(),
            cloned.len(),
            report.bytes
        );
        assert!(cloned.iter().all(|it| it.method == "GET"));
        assert!(opened.len() + cloned.len() <= 20, "{} requests", cloned.len());

        // Nothing new.
        let report = pull(&bob, &source).await;
        assert_eq!((report.integrated, report.already_seen), (0, 0));
        let [asked] = server.logged().try_into().unwrap();
        assert_eq!((asked.status, asked.uri.as_str()), (304, "/manifest.json"));
        assert!(asked.conditional);
        eprintln!("nothing new: 1 request, {} bytes", asked.bytes);

        // Little that is new.
        for (number, key) in keys.iter().take(100).enumerate() {
            let status = prophet_store::Properties::new().with("status", format!("new {number}"));
            ada.update(key, status.unwrap()).await.unwrap();
        }
        publish(&ada, &server.tree()).await;
        let report = pull(&bob, &source).await;
        assert_eq!((report.integrated, report.already_seen), (100, 0));
        let asked = server.logged();
        let bytes: u64 = asked.iter().map(|it| it.bytes).sum();
        eprintln!(
            "100 new: {} requests, {bytes} bytes, payload {}: {asked:?}",
            asked.len(),
            report.bytes
        );
        assert!(asked.len() <= 8, "{asked:?}");
        let most = report.bytes * 13 / 10 + (64 << 10);
        assert!(bytes <= most, "{bytes} bytes for {} of payload", report.bytes);
        assert_eq!(digests(&bob).await, digests(&ada).await);
        assert_eq!(pull(&bob, &source).await.integrated, 0);
        assert_eq!(server.logged().len(), 1);
    });
}

#[test]
fn a_server_without_ranges_and_tags_will_do() {
    let server = Server::python();
    block_on(async {
        let ada = replica().await;
        let keys = fill(&ada, 100, 3_000).await;
        publish(&ada, &server.tree()).await;
        let source = server.open().await;
        let bob = other(&ada).await;
        assert_eq!(pull(&bob, &source).await.integrated, 3_000);
        let before = source.stats();
        assert_eq!(pull(&bob, &source).await.integrated, 0);
        let after = source.stats();
        assert_eq!((after.requests - before.requests, after.bytes - before.bytes), (1, 0));
        // Its times are in seconds.
        std::thread::sleep(Duration::from_millis(1_100));
        ada.delete(&keys[0]).await.unwrap();
        publish(&ada, &server.tree()).await;
        assert_eq!(pull(&bob, &source).await.integrated, 1);
        assert_eq!(digests(&bob).await, digests(&ada).await);
        assert_sound(&bob).await;
    });
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let pause = Duration::from_millis(5);
    let options = HttpOptions::new().no_proxy().retries(2).pauses(pause, pause);
    let url = format!("http://user:secret@127.0.0.1:{port}/tree?key=secret");
    let error = block_on(HttpSource::open_with(&url, options.clone())).unwrap_err().to_string();
    assert!(error.contains(&format!("http://127.0.0.1:{port}/tree/manifest.json")), "{error}");
    assert!(error.contains("refused") && !error.contains("secret"), "{error}");
    for url in ["ftp://example.org/", "bugs", "file:///etc/"] {
        let error = block_on(HttpSource::open_with(url, options.clone())).unwrap_err().to_string();
        assert!(error.contains(url), "{error}");
    }
}

#[test]
fn https_is_for_certificates_that_the_system_trusts() {
    let server = Server::secure_nginx();
    let url = format!("https://127.0.0.1:{}/", server.port);
    block_on(async {
        let ada = replica().await;
        fill(&ada, 10, 10).await;
        publish(&ada, &server.tree()).await;
        let options = HttpOptions::new().no_proxy();
        let error = HttpSource::open_with(&url, options).await.unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
    });
    // What the system trusts, a process is told when it begins.
    let trusting = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "over_https", "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", server.directory.path().join("cert.pem"))
        .env("PROPHET_TEST_URL", &url)
        .output()
        .unwrap();
    assert!(trusting.status.success(), "{trusting:?}");
    assert!(String::from_utf8_lossy(&trusting.stdout).contains("1 passed"), "{trusting:?}");
}

#[test]
#[ignore = "the test before this one runs it, with a server"]
fn over_https() {
    let url = std::env::var("PROPHET_TEST_URL").unwrap();
    block_on(async {
        let options = HttpOptions::new().no_proxy();
        let source = HttpSource::open_with(&url, options.clone()).await.unwrap();
        let identity = prophet_store::Identity::new_replica(source.manifest().identity.database);
        let bob = support::replica_of(identity.unwrap()).await;
        assert_eq!(pull(&bob, &source).await.integrated, 10);
        let plain = format!("{url}plain/");
        let error = HttpSource::open_with(&plain, options).await.unwrap_err().to_string();
        assert!(error.contains("not secure"), "{error}");
    });
}
