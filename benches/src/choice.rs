//! Why a filter chooses nothing.

use etalon_kernels::registry;
use etalon_reference::Types;

use crate::profile::Profile;
use crate::suite;

/// What to tell who asked for these cases, where there are none.
pub fn nothing(filter: &str, types: Option<Types>, profile: Profile) -> String {
    let some = |filter, types, profile| suite::subjects(filter, types, profile).is_ok_and(|all| !all.is_empty());
    if let Some(longer) = [Profile::Standard, Profile::Paper].into_iter().find(|&p| some(filter, types, p)) {
        let (ours, longer) = (profile.name(), longer.name());
        return format!("no workload of the profile {ours} contains `{filter}`; the profile {longer} has some");
    }
    if let (Some(only), true) = (types, some(filter, None, Profile::Paper)) {
        return format!("what contains `{filter}` does not compute {only}");
    }
    let operators: Vec<&str> = registry::ALL.iter().map(|entry| entry.operator.name).collect();
    format!("no `operator/workload/dtype` contains `{filter}`; the operators are {}", operators.join(", "))
}

#[cfg(test)]
mod tests {
    use etalon_reference::DType;

    use super::*;

    #[test]
    fn the_reason_is_the_next_that_helps() {
        assert!(nothing("nosuch", None, Profile::Smoke).contains("the operators are gemm"));
        assert!(nothing("gemm/square.8/", Some(Types::all(DType::I8)), Profile::Paper).contains("does not compute i8"));
        let shown = |profile| suite::subjects("", None, profile).expect("valid");
        let (few, all) = (shown(Profile::Smoke), shown(Profile::Standard));
        let longer = all.iter().map(suite::Subject::path).find(|path| few.iter().all(|s| s.path() != *path));
        let message = nothing(&longer.expect("one that smoke lacks"), None, Profile::Smoke);
        assert!(message.ends_with("the profile standard has some"), "{message}");
    }
}
