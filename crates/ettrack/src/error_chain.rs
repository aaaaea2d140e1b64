//! Prints an error with all its causes in one line.

use std::error::Error;

/// The message of `error` and of each of its causes, from the outermost to the innermost, separated by `": "`.
///
/// In this workspace no message repeats that of its cause, so whoever prints an error, or keeps it as text, must print the
/// chain. Some libraries do repeat it at the end of their own message; such a cause is not printed twice.
///
/// ```
/// #[derive(Debug)]
/// struct CannotWrite(std::io::Error);
///
/// impl std::fmt::Display for CannotWrite {
///     fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         formatter.write_str("cannot write a.txt")
///     }
/// }
///
/// impl std::error::Error for CannotWrite {
///     fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
///         Some(&self.0)
///     }
/// }
///
/// let error = CannotWrite(std::io::Error::other("disk full"));
/// assert_eq!(ettrack::error_chain(&error), "cannot write a.txt: disk full");
/// ```
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Self>>);

    impl fmt::Display for Link {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            let cause = self.1.as_deref()?;
            Some(cause)
        }
    }

    fn chain(messages: &[&'static str]) -> String {
        let links = messages.iter().rev();
        let error = links.fold(None, |cause, message| Some(Box::new(Link(message, cause))));
        error_chain(&*error.expect("a message"))
    }

    #[test]
    fn prints_each_cause_once() {
        assert_eq!(chain(&["a"]), "a");
        assert_eq!(chain(&["a", "b", "c"]), "a: b: c");
        // A library whose message ends with that of its cause.
        assert_eq!(chain(&["a", "b: c", "c"]), "a: b: c");
    }
}
