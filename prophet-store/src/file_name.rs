//! Names of files for record types, which may be any text.

use crate::id::Digest;
use crate::name::RecordType;

/// Names of files that some systems keep for devices, whatever the extension.
const DEVICES: [&str; 24] = [
    "aux", "com0", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "con",
    "lpt0", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9", "nul", "prn",
];

/// Longest name, in bytes: with an extension it fits where 255 are allowed, twice over.
const LONGEST: usize = 100;

impl RecordType {
    /// The name of a record type as the name of a file or directory: any two types have different names,
    /// also where case makes no difference, and no name means anything to a file system or needs
    /// escaping in an address.
    ///
    /// Lower-case ASCII letters, digits, `-` and `_` stay as they are; of every other byte it has `=` and
    /// two lower-case hexadecimal digits, and so of the first one where the name would be that of a
    /// device. What is longer than 100 bytes then is cut, and ends with `==` and the BLAKE3 digest of the
    /// type. No name has a dot in it, so that what follows one is never part of a name.
    ///
    /// ```
    /// use prophet_store::RecordType;
    ///
    /// assert_eq!(RecordType::new("bug")?.file_name(), "bug");
    /// assert_eq!(RecordType::new("Bug/../é")?.file_name(), "=42ug=2f=2e=2e=2f=c3=a9");
    /// assert_eq!(RecordType::new("con")?.file_name(), "=63on");
    /// # Ok::<(), prophet_store::NameError>(())
    /// ```
    // `=` and not `.` or `%`: names that begin with a dot are hidden and often not served, and `%` would
    // have to be escaped in addresses.
    pub fn file_name(&self) -> String {
        let text = self.as_str();
        let mut name = String::new();
        for (index, byte) in text.bytes().enumerate() {
            let plain = matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
            let of_device = index == 0 && DEVICES.contains(&text);
            if plain && !of_device {
                name.push(char::from(byte));
            } else {
                name.push_str(&format!("={byte:02x}"));
            }
        }
        if name.len() > LONGEST {
            let suffix = format!("=={}", Digest::of(text.as_bytes()));
            name.truncate(LONGEST - suffix.len());
            name.push_str(&suffix);
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn named(text: &str) -> String {
        RecordType::new(text).unwrap().file_name()
    }

    fn check(name: &str) {
        assert!((1..=LONGEST).contains(&name.len()), "{name}");
        let safe = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_' | '=');
        assert!(name.chars().all(safe), "{name}");
        assert!(!DEVICES.contains(&name), "{name}");
    }

    #[test]
    fn awkward_types_have_names_that_differ() {
        let long = "x".repeat(255);
        let other = format!("{}y", "x".repeat(254));
        let cut = named(&long);
        let types = [
            "bug", "Bug", "BUG", "bUg", ".", "..", "...", "/", "//", "a/b", "a\\b", "a=2fb", "=",
            "==", "=2f", "con", "CON", "Con", "=63on", "nul", "nul.txt", "com1", "lpt9", "com10",
            "x.", "x ", "x", " ", "-", "_", "é", "e\u{301}", "ß", "ss", "\u{202e}", "<script>",
            "~", "bug.2", "bug.html", &long, &other, &cut,
        ];
        let names: HashSet<_> = types.iter().map(|text| named(text)).collect();
        assert_eq!(names.len(), types.len());
        names.iter().for_each(|name| check(name));
    }

    proptest! {
        #[test]
        fn names_are_safe_and_bounded(text in "\\PC{1,60}") {
            check(&named(&text));
        }

        #[test]
        fn what_differs_is_named_differently(one in "[aAbB=/.0-9]{1,6}", other in "[aAbB=/.0-9]{1,6}") {
            prop_assert_eq!(one == other, named(&one) == named(&other));
        }

        #[test]
        fn what_is_long_and_differs_at_its_end_is_named_differently(
            one in "[a-cA-C]{0,3}", other in "[a-cA-C]{0,3}", long in 90_usize..250,
        ) {
            let [first, second] = [&one, &other].map(|end| named(&format!("{}{end}", "a".repeat(long))));
            check(&first);
            prop_assert_eq!(one == other, first == second);
        }
    }
}
