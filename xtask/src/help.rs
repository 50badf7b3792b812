//! What `--help` says of commands that hand over to a program. A test holds it to the options that the program has.

/// Help of `bench`.
pub const BENCH: &str = "\
Usage: cargo xtask bench [FILTER] [--profile smoke|standard|paper] [--threads 1,2] [--dtype T] [--cache STATES]
                         [-o DIR]

Every timed case is checked against the reference first, on the buffers that are then timed. Records are written as
one JSON object a line, the report is built from them, and its path is the last line printed. An interrupt (Ctrl-C) keeps
the records written so far and says where they are.

  FILTER               part of `operator/workload/dtype`: gemm, gemm/square.512, batchnorm, /f64
  --profile smoke      a few rounds of everything, two to three minutes after the build
  --profile standard   the default: intervals tight enough to compare with, half an hour or so on two cores
  --profile paper      everything, long enough to publish: hours
  --threads 1,2        thread counts to time
  --dtype T            this element type alone: f64, f32
  --cache STATES       where operands lie before each call: warm (the default), cold-weights, cold, or named (the state in
                       which networks meet the workload); several are separated by commas
  -o, --output DIR     folder for the records; by default a new one under target/etalon, to which `latest` then points

Example: cargo xtask bench gemm --profile smoke --threads 1";

/// Help of `versus`.
pub const VERSUS: &str = "\
Usage: cargo xtask versus [FILTER] [--peer NAMES] [--profile P] [--threads 1,2] [--json FILE]

Our kernel and its peers take turns within each round, in rotating order, each warm before its sample. The ratio is the
median of the rounds' ratios with its interval, of 95 % or what the row says.

  FILTER                          part of `operator/workload/dtype`
  --peer libtorch,openblas,faer   whom to race (default: all that have the operator)
  --profile smoke|standard|paper  how long to take for each case
  --threads 1,2                   thread counts to time
  --dtype T                       this element type alone: f64, f32
  --cache STATES                  where operands lie before each call: warm (the default), cold-weights, cold, or named
  --kernel NAME                   this kernel of ours instead of the default one
  --point OPERATOR:POINT          a problem that is no workload, as in gemm:m=8,n=8,k=8; may be given several times
  --json FILE                     one JSON object a line: id, op, workload, dtype, threads, cache, kernel, ours_ns, peer,
                                  way, peer_ns, ratio, ratio_low, ratio_high, rounds, coverage, few, share_of_peak

Example: cargo xtask versus gemm/square.512 --peer libtorch,faer --json ratios.jsonl";

/// Help of `audit`.
pub const AUDIT: &str = "\
Usage: cargo xtask audit [FILTER] [--sample N] [--seed S] [--peer NAMES] [--launches N] [--json FILE]

Whether paired ratios are what programs would see that do nothing else: ours and each peer are timed once more, each alone
in a process of its own, in turn, and that ratio stands beside the paired one. Exit code 1 if the median disagreement is
above 3 %, or one above 10 % has no reason.

  FILTER                          part of `operator/workload/dtype`
  --peer libtorch,openblas,faer   whom to race (default: libtorch)
  --sample N                      cases, spread over the operators (default: 40); 0 for all
  --seed S                        another sample
  --launches N                    processes for each subject of a case (default: 3)
  --profile smoke|standard|paper  how long the paired rounds take
  --threads 1,2                   thread counts to time
  --dtype T                       this element type alone: f64, f32
  --kernel NAME                   this kernel of ours instead of the default one
  --point OPERATOR:POINT          a problem that is no workload, as in gemm:m=8,n=8,k=8; may be given several times
  --json FILE                     one JSON object a line; as audit.jsonl in the folder of a run, the report shows it

Example: cargo xtask audit --json target/etalon/latest/audit.jsonl";

/// Help of `parity`.
pub const PARITY: &str = "\
Usage: cargo xtask parity [FILTER] [--cases N] [--seed S] [--workloads] [--fail-fast] [--shrink SECONDS] [--limit SECONDS]
                          [--jobs N] [--through PROGRAM] [--junit FILE] [--json FILE] [--checks FILE]
                          [--coverage] [--list]

Every kernel is asked every question: whether it agrees with the f64 reference (and libtorch), and gives the same bits for any
number of threads, run, alignment, level and batch, within its buffers. Each failure prints one REPRO: line that runs its case
alone; of each kernel the first one is shrunk. Kernels and libtorch run in processes of their own: what crashes or hangs there
is a row, and the run goes on. A kernel that a question could not be asked of has failed.

  FILTER             a part of operator/kernel/dtype: `gemm` selects gemm_backward, too, and `gemm/` does not;
                     or a case id, which is asked every question
  --cases N          points per kernel, dtype and fill for agreement (default 32); the other questions get fewer
  --seed S           another draw of points and inputs
  --workloads        the points of all workloads instead of drawn ones
  --fail-fast        stop at the first failure
  --shrink SECONDS   time to find a smaller case for the first failure of each kernel (default 20)
  --limit SECONDS    time of a kernel, or of libtorch, for a case (default 60)
  --jobs N           cases at a time (default: the number of CPUs)
  --through PROGRAM  what starts the processes, as in valgrind
  --junit FILE       results for CI; --json FILE one object a line
  --checks FILE      one object for each kernel and question; as checks.jsonl in the folder of a run, the report shows it
  --coverage         what every operator is checked by, and what nothing covers, without running anything
  --list             the cases' ids, without running them

Example: cargo xtask parity gemm/ --cases 200 --seed 7";

/// Help of `ulp`.
pub const ULP: &str = "\
Usage: cargo xtask ulp [FUNCTION] [--stride N] [--threads N] [--json FILE]

Every function that kernels are made of (exp, log, erf, the activations) and every derivative is held against its exact value in
f64, at all 2^32 arguments of f32, on every level of instructions, which must all give the same bits. Prints the largest error in
units in the last place beside its budget, and libtorch's. Exit code 1 if one is beyond the budget, or two levels differ.

  FUNCTION      one function and its derivative: exp, tanh, silu, …; by default all, a few minutes each ten
  --stride N    every so many arguments, for a quick look
  --threads N   threads (default: the number of CPUs)
  --json FILE   one JSON object a line: function, isa, arguments, ulps, at, budget, share, share_at, libtorch, fault

Example: cargo xtask ulp tanh --stride 1000";

/// Help of `report`.
pub const REPORT: &str = "\
Usage: cargo xtask report [RECORDS…] [-o DIR] [--splice FILE | --keep DIR]

One folder that opens offline: summary, table, pictures, environment, method, citation and the raw records.
Without RECORDS the newest finished run is taken, and named; a newer one that was interrupted is offered.

  RECORDS            files or folders with records and environments
  -o, --output DIR   folder of the report; by default `report` beside the first records
  --splice FILE      replace the summary between the markers of this Markdown file instead
  --keep DIR         keep the run in this folder instead: its records, compressed, and every case as RESULTS.md

Example: cargo xtask report -o my-report";

/// Help of `compare`.
pub const COMPARE: &str = "\
Usage: cargo xtask compare A B [--threshold 1.05]

SAME, FASTER, SLOWER or AMBIGUOUS for each case that both runs have, and the geometric mean over them.
Exit code 1 when a case got slower, 3 when the intervals do not decide.

  A, B              files or folders with records
  --threshold 1.05  ratios within this factor are the same

Example: cargo xtask compare before.jsonl after.jsonl --threshold 1.03";

/// Help of `golden`.
pub const GOLDEN: &str = "\
Runs libtorch over the golden points and writes its answers to reference/golden/, against which builds without libtorch
check. Run it after an operator is added or the pinned libtorch changes, and commit what it writes.";
