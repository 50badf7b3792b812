//! The libraries as a process sees them that has both: `etalon-probe` is built and asked.

use serde_json::Value;

use super::Finding;
use crate::process;
use crate::setup;
use crate::tool::PROBE;
use crate::workspace::Workspace;

/// Builds the probe, runs it, and judges what it says.
pub fn findings(workspace: &Workspace) -> Vec<Finding> {
    match ask(workspace) {
        Ok(answer) => judge(&answer),
        Err(error) => {
            vec![Finding::fault("probe", format!("{error:#}"), "cargo xtask setup; then mend what the build says")]
        }
    }
}

fn ask(workspace: &Workspace) -> anyhow::Result<Value> {
    let provision = setup::present(workspace)?;
    PROBE.build(workspace, &provision)?;
    let mut command = PROBE.command(workspace, &provision);
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        anyhow::bail!("{}: {said}", process::describe(&command, output.status));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn judge(answer: &Value) -> Vec<Finding> {
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let number = |pointer: &str| answer.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let mut findings = vec![
        Finding::fine(
            "libtorch in use",
            format!(
                "{}, {}, {} threads",
                text("/libtorch/file"),
                text("/libtorch/config"),
                number("/libtorch/threads")
            ),
        ),
        Finding::fine(
            "OpenBLAS in use",
            format!(
                "{}, core {}, {} threads",
                text("/openblas/config"),
                text("/openblas/core"),
                number("/openblas/threads")
            ),
        ),
    ];
    if let Some(symbols) = answer.get("symbols").and_then(Value::as_object) {
        for name in ["sgemm_", "cblas_sgemm"] {
            let provider = symbols.get(name).and_then(Value::as_str).unwrap_or("nobody");
            findings.push(Finding::fine("provider", format!("{name}: {provider}")));
        }
    }
    findings.push(match answer.get("clash").and_then(Value::as_str) {
        None => Finding::fine("independence", "libtorch and OpenBLAS each call their own BLAS"),
        Some(clash) => {
            Finding::fault("independence", clash, "link OpenBLAS from libopenblas.a (cargo xtask setup), then rebuild")
        }
    });
    let runtimes: Vec<&str> =
        answer.get("openmp").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    findings.push(Finding::judged(
        "OpenMP",
        runtimes.join(", "),
        runtimes.len() < 2,
        "keep one OpenMP runtime: unset LD_PRELOAD, use the libtorch of set-up",
    ));
    let flushed = |name: &str| answer.get(name).and_then(Value::as_bool).unwrap_or(false);
    findings.push(match (flushed("ftz"), flushed("daz")) {
        (false, false) => Finding::fine("FTZ/DAZ", "off: subnormals are kept"),
        _ => Finding::fault(
            "FTZ/DAZ",
            "subnormals are flushed",
            "find the library built with -ffast-math that sets it (LD_PRELOAD, OpenMP runtime)",
        ),
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Grade;

    #[test]
    fn a_clash_and_flushed_subnormals_are_faults() {
        let good = serde_json::json!({"clash": null, "openmp": ["/l/libgomp.so.1"], "ftz": false, "daz": false});
        assert!(judge(&good).iter().all(|finding| finding.grade == Grade::Fine));
        let bad =
            serde_json::json!({"clash": "sgemm_ is provided by x", "openmp": ["/a", "/b"], "ftz": true, "daz": false});
        let grades: Vec<Grade> = judge(&bad).iter().map(|finding| finding.grade).collect();
        assert_eq!(grades.iter().filter(|grade| **grade == Grade::Fault).count(), 2);
        assert_eq!(grades.iter().filter(|grade| **grade == Grade::Warning).count(), 1);
    }
}
