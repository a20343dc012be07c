//! Three processes write to one replica in a bucket at once, and one of them is killed in the middle
//! of it. Afterwards all see the same, and every edit that was acknowledged is there.
//!
//! `cargo run -p backend-s3 --example shared_bucket` starts a bucket of its own on the loopback
//! address. With `AWS_ENDPOINT` or a region, credentials and a URL, it takes a real one:
//! `cargo run -p backend-s3 --example shared_bucket -- s3://bucket/some/new/prefix`.

#![allow(clippy::print_stdout, reason = "it shows what happens")]

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use backend_s3::{S3Options, S3Store};
use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_bucket::{Bucket, Settings, WireServer};
use prophet_store::{Direction, Identity, Properties, RecordKey, Replica, ReplicaStore as _};

const EDITS: i64 = 40;
/// The second one is killed after it was told of so many edits.
const KILLED_AFTER: usize = 15;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (Some("write"), Some(url), Some(name)) => block_on(write(&url, &name)),
        (url, _, _) => run(url),
    }
}

/// One of the three: makes edits, and tells of each that was acknowledged.
async fn write(url: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let replica = Replica::open(S3Store::open(url).await?).await?;
    for number in 1..=EDITS {
        let title = format!("{name} {number}");
        let bug = replica.create("bug", Properties::try_from([("title", title)])?).await?;
        println!("{bug}");
    }
    replica.close().await?;
    Ok(())
}

fn start(url: &str, name: &str) -> std::io::Result<Child> {
    let program = std::env::current_exe()?;
    Command::new(program).args(["write", url, name]).stdout(Stdio::piped()).spawn()
}

fn run(url: Option<&str>) -> Result<(), Box<dyn Error>> {
    let server = match url {
        Some(_) => None,
        None => Some(WireServer::start(&Bucket::with(Settings::plain(1)))?),
    };
    let url = match (&server, url) {
        (Some(server), _) => {
            let at = server.endpoint();
            let told = [
                ("AWS_ENDPOINT", &*at.url),
                ("AWS_REGION", &at.region),
                ("AWS_ACCESS_KEY_ID", &at.access_key),
                ("AWS_SECRET_ACCESS_KEY", &at.secret_key),
                ("AWS_ALLOW_HTTP", "true"),
            ];
            return with_environment(&told, &format!("s3://{}/shared", at.bucket));
        }
        (None, url) => url.unwrap_or_default(),
    };
    show(url)
}

/// The very same program, told where the bucket is as any other is: by its environment.
fn with_environment(told: &[(&str, &str)], url: &str) -> Result<(), Box<dyn Error>> {
    let mut again = Command::new(std::env::current_exe()?);
    match again.arg(url).envs(told.iter().copied()).status()?.success() {
        true => Ok(()),
        false => Err("the example failed".into()),
    }
}

fn show(url: &str) -> Result<(), Box<dyn Error>> {
    let created = block_on(S3Options::new().create(url, Identity::new_database()?))?;
    if let Some(warning) = created.warning() {
        return Err(warning.into());
    }
    println!("{} is there, and the service keeps several writers apart.", created.facts().place);

    let mut children = ["ada", "bob", "eve"].into_iter().map(|name| start(url, name));
    let children = [children.next(), children.next(), children.next()];
    let mut readers = Vec::new();
    for (place, child) in children.into_iter().flatten().enumerate() {
        readers.push(std::thread::spawn(move || listen(child?, place == 1)));
    }
    let mut acknowledged: Vec<RecordKey> = Vec::new();
    for reader in readers {
        let told = reader.join().map_err(|_| "a thread panicked")??;
        println!("a process was told of {} edits", told.len());
        for line in told {
            acknowledged.push(line.parse()?);
        }
    }

    block_on(async {
        let (one, other) =
            (Replica::open(created).await?, Replica::open(S3Store::open(url).await?).await?);
        let bugs = one.get_many(&acknowledged).await?;
        let lost = bugs.iter().filter(|bug| bug.is_none()).count();
        if lost > 0 {
            return Err(format!("{lost} edits are lost").into());
        }
        let (mut here, mut there) =
            (one.log(None, Direction::Forward), other.log(None, Direction::Forward));
        let mut entries = 0;
        loop {
            match (here.next().await.transpose()?, there.next().await.transpose()?) {
                (None, None) => break,
                (one, other) if one != other => return Err("two handles differ".into()),
                _ => entries += 1,
            }
        }
        let head = one.head().await?;
        println!(
            "All {} acknowledged edits are there, of {entries} in the log, and two handles agree: {head}.",
            acknowledged.len()
        );
        one.close().await?;
        other.close().await?;
        Ok(())
    })
}

/// What a process tells, until it is killed.
fn listen(mut child: Child, kill: bool) -> std::io::Result<Vec<String>> {
    let mut told = Vec::new();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            told.push(line?);
            if kill && told.len() == KILLED_AFTER {
                child.kill()?;
            }
        }
    }
    child.wait()?;
    Ok(told)
}
