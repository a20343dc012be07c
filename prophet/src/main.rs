//! The `prophet` command: everything that the library does, for people and scripts.
//!
//! `args` says what can be typed, `commands` has a module for each command, `replica` knows what
//! replicas are called and how they are opened, `output` how things are shown.

mod args;
mod commands;
mod config;
mod context;
mod failure;
mod naming;
mod output;
mod prompt;
mod properties;
mod replica;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use futures_lite::future::block_on;

use crate::args::Cli;
use crate::context::Context;
use crate::failure::{Exit, Failure};

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let exit = match Cli::try_parse_from(&words) {
        Ok(cli) => {
            let mut context = Context::new(cli.global);
            match block_on(cli.command.run(&mut context)) {
                Ok(exit) => exit,
                Err(failure) => failure.tell(&context.output),
            }
        }
        Err(error) => Failure::from(error).tell_plainly(),
    };
    ExitCode::from(exit as u8)
}

/// What a command answers.
type Result<T, E = Failure> = std::result::Result<T, E>;
