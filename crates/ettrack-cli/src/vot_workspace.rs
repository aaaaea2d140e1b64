//! `ettrack vot-workspace`: lists models for VOT's toolkit.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use ettrack::Tracker;
use ettrack::error_chain;
use ettrack_files::write_file;

use crate::console::BadInput;
use crate::tracker_args::{Lost, TrackerArgs};

/// Write the list of trackers of a workspace of VOT's toolkit: DIR/trackers.ini.
///
/// Each model becomes a tracker that the toolkit runs by `ettrack trax`, with the options given here. Sections of other
/// trackers are kept. Without a config.yaml in DIR, one is written for --stack; the toolkit fetches the stack's
/// sequences with the first evaluation, unless they are in DIR/sequences.
#[derive(Debug, Args)]
pub struct VotWorkspaceArgs {
    /// Folder of the workspace. It is made if it does not exist.
    dir: PathBuf,
    /// Model folder or name of the built-in model. May be repeated.
    #[arg(long, value_name = "DIR", default_value = ettrack_models::DEFAULT.name)]
    model: Vec<PathBuf>,
    /// Name of a stack of the toolkit (vot2022/shorttermbox, vot2018/longterm, …), or a stack's file.
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// Replace sections of the same name.
    #[arg(long)]
    replace: bool,
    /// Let the toolkit communicate with the tracker through a socket.
    #[arg(long)]
    socket: bool,
    /// Whether the lost state is used. Benchmarks score the authors' loop, so it is off by default.
    #[arg(long, value_enum, default_value_t = Lost::Off)]
    lost: Lost,
    #[command(flatten)]
    tracker: TrackerArgs,
}

impl VotWorkspaceArgs {
    /// Runs the subcommand.
    pub fn run(self) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let path = self.dir.join("trackers.ini");
        let mut list = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error)
                    .with_context(|| BadInput(format!("cannot read {}", path.display())));
            }
        };
        for model in &self.model {
            let (name, section) = self.section(model, &program)?;
            list = with_section(&list, &name, &section, self.replace).with_context(|| {
                BadInput(format!(
                    "{}: there is another section [{name}]; --replace replaces it",
                    path.display()
                ))
            })?;
        }
        let config = self.dir.join("config.yaml");
        match (&self.stack, config.exists()) {
            (Some(stack), false) => {
                let text = format!(
                    "registry:\n- ./trackers.ini\nstack: {stack}\nsequences: ./sequences\n"
                );
                write_file(&config, text)?;
            }
            (Some(_), true) => bail!(BadInput(format!(
                "{}: the workspace has a stack already; leave out --stack, or choose another folder",
                config.display()
            ))),
            (None, true) => {}
            (None, false) => eprintln!(
                "{} is no workspace yet: give --stack, or run `vot initialize STACK --workspace {}`",
                self.dir.display(),
                self.dir.display()
            ),
        }
        write_file(&path, list)?;
        eprintln!("trackers: {}", path.display());
        Ok(())
    }

    /// Returns name and text of a model's section. The model is opened, so that a wrong one is refused now.
    fn section(&self, path: &Path, program: &Path) -> anyhow::Result<(String, String)> {
        let open = |error: &dyn std::error::Error| {
            BadInput(format!("cannot open the model: {}", error_chain(error)))
        };
        let model = ettrack_models::open(path).map_err(|error| open(&error))?;
        let options = self.tracker.options(&model, self.lost)?;
        let tracker = Tracker::from_model(model, &options).map_err(|error| open(&error))?;
        let manifest = tracker.manifest();
        // The paths must not depend on the toolkit's working directory.
        let place = if path.exists() {
            std::path::absolute(path)?
        } else {
            path.to_owned()
        };
        let library = std::path::absolute(&tracker.runtime().library)?;
        let mut command = vec![
            program.display().to_string(),
            "trax".into(),
            "--model".into(),
            place.display().to_string(),
            "--onnxruntime".into(),
            library.display().to_string(),
            format!("--threads={}", self.tracker.threads),
            format!("--constants={}", self.tracker.constants),
            format!("--search-scale={}", self.tracker.search_scale),
            format!("--lost={}", format!("{:?}", self.lost).to_lowercase()),
        ];
        let execution = tracker.execution();
        command.push(format!("--provider={}", execution.provider));
        command.push(format!("--precision={}", execution.precision));
        let options = self.tracker.engine.written_options();
        command.extend(
            options
                .iter()
                .map(|option| format!("--provider-option={option}")),
        );
        command.extend(self.tracker.set.iter().map(|set| format!("--set={set}")));
        let command: Vec<_> = command.iter().map(|word| shell_word(word)).collect();
        let name = identifier(&manifest.name);
        let mut text = format!(
            "[{name}]\nlabel = {}\nprotocol = trax\ncommand = {}\n",
            manifest.name.replace('%', "%%"),
            command.join(" ").replace('%', "%%")
        );
        if self.socket {
            text.push_str("socket = true\n");
        }
        Ok((name, text))
    }
}

/// The toolkit allows letters, digits, `-` and `_` in identifiers.
fn identifier(name: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    name.chars()
        .map(|letter| if allowed(letter) { letter } else { '-' })
        .collect()
}

/// Returns the word quoted for a shell, because the toolkit splits commands like a shell.
fn shell_word(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=,:+@".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The list with a section added or replaced. `None` if there is another section of this name that may not be replaced.
fn with_section(list: &str, name: &str, section: &str, replace: bool) -> Option<String> {
    let heading = format!("[{name}]");
    let mut before = String::new();
    let mut old = String::new();
    let mut after = String::new();
    let mut at = 0;
    for line in list.split_inclusive('\n') {
        if line.trim() == heading && at == 0 {
            at = 1;
        } else if at == 1 && line.trim_start().starts_with('[') {
            at = 2;
        }
        [&mut before, &mut old, &mut after][at].push_str(line);
    }
    if at == 0 {
        let gap = match before.as_str() {
            "" => "",
            text if text.ends_with('\n') => "\n",
            _ => "\n\n",
        };
        return Some(format!("{before}{gap}{section}"));
    }
    if old.trim() != section.trim() && !replace {
        return None;
    }
    let gap = if after.is_empty() { "" } else { "\n" };
    Some(format!("{before}{section}{gap}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_of_others_are_kept_and_ours_is_replaced_only_when_asked() {
        let others = "# mine\n[ncc]\ncommand = ncc";
        let ours = "[nano]\ncommand = ettrack\n";
        let list = with_section(others, "nano", ours, false).unwrap();
        assert_eq!(list, format!("{others}\n\n{ours}"));
        assert_eq!(with_section(&list, "nano", ours, false), Some(list.clone()));
        let new = "[nano]\ncommand = other\n";
        assert_eq!(with_section(&list, "nano", new, false), None);
        let more = format!("{list}\n[last]\ncommand = last\n");
        let replaced = with_section(&more, "nano", new, true).unwrap();
        assert_eq!(
            replaced,
            format!("{others}\n\n{new}\n[last]\ncommand = last\n")
        );
    }

    #[test]
    fn words_are_quoted_and_names_have_only_the_toolkits_characters() {
        assert_eq!(shell_word("/opt/a-b/ettrack"), "/opt/a-b/ettrack");
        assert_eq!(shell_word("/my models/it's"), "'/my models/it'\\''s'");
        assert_eq!(identifier("a.b c"), "a-b-c");
    }
}
