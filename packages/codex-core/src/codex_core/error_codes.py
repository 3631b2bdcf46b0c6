"""Every error code of the five distributions, with its exit code and one sentence; the reference is made from it.

Decision: data alone, and a module of its own, so that raising an error never reads the whole list.
"""

from __future__ import annotations

from typing import NamedTuple

from codex_core.errors import ExitCode


class CatalogueEntry(NamedTuple):
    """What one error code stands for: its family's exit code and one sentence for the reference."""

    exit_code: ExitCode
    sentence: str


CATALOGUE: dict[str, CatalogueEntry] = {
    "CLI-001": CatalogueEntry(
        ExitCode.USAGE, "An option, argument or subcommand is not known or has a wrong value."
    ),
    "CLI-002": CatalogueEntry(
        ExitCode.USAGE, "There is no command of this name, in the core or in any plugin."
    ),
    "CLI-003": CatalogueEntry(ExitCode.USAGE, "There is no help topic of this name."),
    "CLI-005": CatalogueEntry(
        ExitCode.USAGE, "A training or plan was asked for without naming a configuration."
    ),
    "CLI-006": CatalogueEntry(ExitCode.USAGE, "What the doctor is to require is no row of its table."),
    "CLI-007": CatalogueEntry(
        ExitCode.CAPABILITY, "Something that was required of this installation or machine is absent."
    ),
    "CLI-008": CatalogueEntry(ExitCode.INPUT, "The disk is full where a result is to be written."),
    "EVL-010": CatalogueEntry(
        ExitCode.INPUT, "The prepared data was made with another tokenizer than the checkpoint's."
    ),
    "EVL-011": CatalogueEntry(ExitCode.INPUT, "A model that no run trained names no data to be scored on."),
    "GEN-001": CatalogueEntry(ExitCode.INPUT, "A prompt is longer than the model's context."),
    "GEN-002": CatalogueEntry(ExitCode.NO, "The safety policy blocked a prompt."),
    "GEN-003": CatalogueEntry(ExitCode.INPUT, "A line holds no prompt, or prompts cannot be read."),
    "GEN-004": CatalogueEntry(ExitCode.USAGE, "Options of generation contradict each other."),
    "CFG-001": CatalogueEntry(ExitCode.INPUT, "A configuration file cannot be read."),
    "CFG-002": CatalogueEntry(ExitCode.USAGE, "A configuration file is not valid YAML."),
    "CFG-003": CatalogueEntry(
        ExitCode.USAGE,
        "A configuration holds something that plain YAML 1.2 values do not need, such as tags, aliases or a key twice.",
    ),
    "CFG-004": CatalogueEntry(
        ExitCode.USAGE, "A configuration holds a key that does not exist at its place."
    ),
    "CFG-005": CatalogueEntry(ExitCode.USAGE, "A value in a configuration has the wrong type or shape."),
    "CFG-006": CatalogueEntry(
        ExitCode.USAGE, "A value in a configuration is out of bounds or not among the choices."
    ),
    "CFG-007": CatalogueEntry(ExitCode.USAGE, "A configuration lacks a value that is required."),
    "CFG-008": CatalogueEntry(ExitCode.USAGE, "An override on the command line cannot be read."),
    "CFG-009": CatalogueEntry(ExitCode.USAGE, "An override does not fit the configuration that it changes."),
    "CFG-010": CatalogueEntry(ExitCode.USAGE, "What a configuration extends cannot be found or followed."),
    "CFG-011": CatalogueEntry(ExitCode.USAGE, "Values of a configuration contradict each other."),
    "CFG-012": CatalogueEntry(ExitCode.USAGE, "No configuration key has the name that was asked about."),
    "CFG-013": CatalogueEntry(ExitCode.INPUT, "A configuration file cannot be written; nothing is replaced."),
    "CFG-014": CatalogueEntry(
        ExitCode.USAGE,
        "A configuration is of a version that cannot be read, mixes two versions, or does not say its version.",
    ),
    "CFG-015": CatalogueEntry(
        ExitCode.USAGE, "A reference to the environment stands where none is allowed, or cannot be read."
    ),
    "CFG-016": CatalogueEntry(
        ExitCode.INPUT, "A configuration refers to an environment variable that is not set."
    ),
    "CFG-017": CatalogueEntry(
        ExitCode.USAGE, "The axes of a sweep cannot be read or give no cells, or equal ones."
    ),
    "CFG-018": CatalogueEntry(ExitCode.INPUT, "The folder of a sweep's cell holds something else."),
    "PLN-001": CatalogueEntry(
        ExitCode.MISSING, "A chosen component is known but cannot be used on this machine."
    ),
    "PLN-002": CatalogueEntry(
        ExitCode.USAGE, "The chosen trainer cannot train the chosen model: their runtimes differ."
    ),
    "PLN-003": CatalogueEntry(ExitCode.USAGE, "The configuration leaves open which safety policy holds."),
    "PLN-004": CatalogueEntry(
        ExitCode.USAGE,
        "Safety is switched off although a policy is installed, and no reason was given on the command line.",
    ),
    "PLN-005": CatalogueEntry(
        ExitCode.USAGE, "A reason for bypassing safety was given, but nothing is bypassed."
    ),
    "PLN-006": CatalogueEntry(ExitCode.INPUT, "A split that the run needs holds no documents."),
    "PLN-007": CatalogueEntry(
        ExitCode.INPUT, "Weights or a saved tokenizer that the configuration names are not there."
    ),
    "PLN-008": CatalogueEntry(
        ExitCode.ARTEFACT, "Weights or a saved tokenizer are not what the run was started with."
    ),
    "REG-001": CatalogueEntry(ExitCode.USAGE, "A plugin to allow or to switch off is not installed."),
    "REG-002": CatalogueEntry(ExitCode.USAGE, "A plugin is both allowed and switched off."),
    "REG-003": CatalogueEntry(ExitCode.USAGE, "No installed or known distribution offers the component."),
    "REG-004": CatalogueEntry(
        ExitCode.MISSING, "The component is known; the distribution that offers it is not usable."
    ),
    "REG-005": CatalogueEntry(ExitCode.MISSING, "A library that the component needs is not installed."),
    "REG-006": CatalogueEntry(
        ExitCode.USAGE, "Several distributions claim the bare name, and no pin decides."
    ),
    "REG-007": CatalogueEntry(ExitCode.MISSING, "The component, or every one of its kind, cannot be used."),
    "REG-009": CatalogueEntry(ExitCode.INPUT, "A composed configuration cannot be written."),
    "REG-010": CatalogueEntry(ExitCode.MISSING, "The module that a component points to does not exist."),
    "REG-011": CatalogueEntry(ExitCode.MISSING, "Importing a component fails."),
    "REG-012": CatalogueEntry(ExitCode.MISSING, "The module of a component lacks what it points to."),
    "REG-013": CatalogueEntry(ExitCode.MISSING, "A component does not keep the contract of its kind."),
    "REG-014": CatalogueEntry(ExitCode.MISSING, "A component needs itself while it is being loaded."),
    "REG-015": CatalogueEntry(ExitCode.USAGE, "A pin names a component or distribution that is not there."),
    "REG-016": CatalogueEntry(ExitCode.MISSING, "A plugin of a frozen set is not installed."),
    "REG-017": CatalogueEntry(ExitCode.MISSING, "A plugin of a frozen set is installed in another version."),
    "REG-018": CatalogueEntry(ExitCode.INPUT, "A frozen set of plugins cannot be read or written."),
    "REG-019": CatalogueEntry(ExitCode.INPUT, "The index of the installation cannot be written."),
    "REG-030": CatalogueEntry(
        ExitCode.MISSING, "The distribution that is to be checked is not installed, or offers nothing."
    ),
    "REG-031": CatalogueEntry(ExitCode.USAGE, "A new plugin package cannot have this name."),
    "REG-032": CatalogueEntry(ExitCode.INPUT, "The folder of a new plugin package exists or cannot be made."),
    "DAT-001": CatalogueEntry(
        ExitCode.INPUT,
        "A dataset's file or folder does not exist, cannot be read, or holds no matching file.",
    ),
    "DAT-002": CatalogueEntry(ExitCode.INPUT, "The dataset is empty: no row was read, or none was kept."),
    "DAT-003": CatalogueEntry(
        ExitCode.INPUT, "Text is not Unicode: bytes that are no UTF-8, or a lone surrogate."
    ),
    "DAT-004": CatalogueEntry(
        ExitCode.INPUT,
        "A row is not what its format demands (broken, NaN, a repeated key, too deep), or a source does not parse.",
    ),
    "DAT-005": CatalogueEntry(
        ExitCode.INPUT, "A field of a row is missing or does not hold what its form demands."
    ),
    "DAT-006": CatalogueEntry(ExitCode.INPUT, "A line or a file is longer than the limit."),
    "DAT-007": CatalogueEntry(ExitCode.INPUT, "A split is needed and has no documents, or does not exist."),
    "DAT-008": CatalogueEntry(
        ExitCode.USAGE, "The ratios of the splits are not three shares that add up to one."
    ),
    "DAT-009": CatalogueEntry(ExitCode.USAGE, "A way of packing or of removing duplicates does not exist."),
    "DAT-010": CatalogueEntry(ExitCode.INPUT, "An input changed while it was read."),
    "DAT-011": CatalogueEntry(
        ExitCode.INPUT, "Prepared data cannot be written: the disk is full or the store is read-only."
    ),
    "DAT-012": CatalogueEntry(
        ExitCode.ARTEFACT, "Prepared data is damaged: a file is missing, added or has other bytes."
    ),
    "DAT-013": CatalogueEntry(ExitCode.ARTEFACT, "A folder is no prepared data, or of another format."),
    "DAT-014": CatalogueEntry(
        ExitCode.INPUT, "A tokenizer rendered a document into something that cannot be trained on."
    ),
    "DAT-015": CatalogueEntry(ExitCode.ARTEFACT, "A folder holds no artefact of the tokenizer `bytes`."),
    "DAT-016": CatalogueEntry(
        ExitCode.INPUT, "An id to decode is outside the vocabulary of the tokenizer `bytes`."
    ),
    "DAT-017": CatalogueEntry(
        ExitCode.USAGE, "A template was asked of the tokenizer `bytes`, which has none."
    ),
    "DAT-018": CatalogueEntry(ExitCode.INPUT, "There is no prepared data at the place that was named."),
    "DAT-019": CatalogueEntry(ExitCode.INPUT, "A compressed file is cut short or damaged."),
    "DAT-020": CatalogueEntry(ExitCode.INPUT, "A compressed file expands to more than its limit."),
    "DAT-021": CatalogueEntry(ExitCode.INPUT, "More rows cannot be read than may be skipped."),
    "DAT-022": CatalogueEntry(ExitCode.USAGE, "The form or the fields of a dataset do not fit together."),
    "DAT-023": CatalogueEntry(
        ExitCode.MISSING, "A file is compressed with zstd, and zstandard is not installed."
    ),
    "DAT-024": CatalogueEntry(ExitCode.INPUT, "A file of a folder of texts is binary."),
    "DAT-027": CatalogueEntry(ExitCode.USAGE, "A tokenizer that learns was named where there is no text."),
    "DAT-028": CatalogueEntry(ExitCode.ARTEFACT, "No installed tokenizer can load a folder."),
    "DAT-050": CatalogueEntry(ExitCode.INPUT, "The sources of a prepared set cannot be mixed by weights."),
    "DAT-025": CatalogueEntry(ExitCode.USAGE, "What is to be compared is no file and no split."),
    "DAT-026": CatalogueEntry(
        ExitCode.INPUT, "Nothing of a row is to be learned, and such rows are refused."
    ),
    "DAT-030": CatalogueEntry(
        ExitCode.NO, "A helper process of `data prepare` ended before its work was done."
    ),
    "DAT-031": CatalogueEntry(
        ExitCode.INPUT, "A prepared set is to be sealed, and some of its parts are missing."
    ),
    "DAT-033": CatalogueEntry(
        ExitCode.OK, "A component cannot be handed to helper processes; one process does the work."
    ),
    "DAT-034": CatalogueEntry(ExitCode.USAGE, "A chunk was asked for that does not exist."),
    "DAT-035": CatalogueEntry(ExitCode.USAGE, "The plan of a mixture of sources was to be estimated."),
    "DAT-060": CatalogueEntry(
        ExitCode.USAGE, "What is to be traced is no step of the run, or both steps and a document."
    ),
    "DAT-061": CatalogueEntry(
        ExitCode.INPUT, "A document is to be traced that the prepared set does not hold."
    ),
    "DAT-062": CatalogueEntry(
        ExitCode.OK, "Rows are split by index, and some texts stand in more than one split."
    ),
    "DAT-063": CatalogueEntry(
        ExitCode.INPUT,
        "Packed rows are not sound: labels are shifted, documents leak, or padding is learned.",
    ),
    "NGM-001": CatalogueEntry(
        ExitCode.INPUT, "A row to score has no token; the first token of a row is context."
    ),
    "NGM-002": CatalogueEntry(
        ExitCode.INPUT, "A row holds token ids outside the vocabulary of the n-gram model."
    ),
    "NGM-003": CatalogueEntry(ExitCode.CAPABILITY, "The n-gram model computes on the CPU in float64 only."),
    "NGM-004": CatalogueEntry(
        ExitCode.ARTEFACT, "The files of an n-gram model are damaged or belong to another format."
    ),
    "EVL-001": CatalogueEntry(
        ExitCode.INPUT, "A metric has nothing to count: no text, or no scored token, byte or word."
    ),
    "EVL-002": CatalogueEntry(
        ExitCode.USAGE, "A metric needs something that this evaluation does not provide."
    ),
    "EVL-003": CatalogueEntry(
        ExitCode.NO, "A model gave something that is no log-probability, or the wrong number of them."
    ),
    "EVL-004": CatalogueEntry(ExitCode.NO, "Every metric of an evaluation failed."),
    "EVL-005": CatalogueEntry(ExitCode.INPUT, "A metric writer cannot write to its path."),
    "EVL-006": CatalogueEntry(ExitCode.USAGE, "Two metrics of an evaluation have the same name."),
    "EVL-007": CatalogueEntry(ExitCode.NO, "A metric failed and was set aside; the others went on."),
    "TOK-001": CatalogueEntry(ExitCode.INPUT, "There is no text to learn a tokenizer from."),
    "TOK-002": CatalogueEntry(ExitCode.INPUT, "A text holds a lone surrogate, which UTF-8 cannot hold."),
    "TOK-003": CatalogueEntry(ExitCode.INPUT, "A token id to decode is not in the vocabulary."),
    "TOK-004": CatalogueEntry(ExitCode.USAGE, "A text has more tokens than the width it is to be padded to."),
    "TOK-005": CatalogueEntry(
        ExitCode.USAGE, "A chat template was asked for that the tokenizer does not have."
    ),
    "TOK-006": CatalogueEntry(ExitCode.ARTEFACT, "A saved tokenizer is missing, damaged or of another kind."),
    "TOK-007": CatalogueEntry(
        ExitCode.INPUT, "A tokenizer is in none of the places where it was looked for; each is listed."
    ),
    "TOK-008": CatalogueEntry(ExitCode.USAGE, "There is no tokenizer backend of this name."),
    "TOK-009": CatalogueEntry(ExitCode.MISSING, "The library of a tokenizer backend is not installed."),
    "TOK-010": CatalogueEntry(
        ExitCode.USAGE, "A tokenizer backend that was asked for gives other ids than the reference."
    ),
    "TOK-011": CatalogueEntry(ExitCode.INPUT, "The file of a chat template cannot be read."),
    "TOK-012": CatalogueEntry(ExitCode.INPUT, "A chat template cannot render a conversation."),
    "TOK-013": CatalogueEntry(
        ExitCode.USAGE, "A chat template needs special tokens that the tokenizer does not have."
    ),
    "TOK-014": CatalogueEntry(ExitCode.USAGE, "A further special token is blank, or exists already."),
    "TOK-015": CatalogueEntry(
        ExitCode.USAGE, "SentencePiece cannot learn a vocabulary of this size from this text."
    ),
    "TOK-016": CatalogueEntry(ExitCode.INPUT, "A folder or file holds no Hugging Face tokenizer."),
    "TOK-017": CatalogueEntry(
        ExitCode.USAGE, "A Hugging Face tokenizer names no EOS token, or one that it does not have."
    ),
    "TOK-018": CatalogueEntry(ExitCode.USAGE, "A recipe for learning a tokenizer holds a mistake."),
    "TOK-019": CatalogueEntry(
        ExitCode.INPUT, "A text to learn a tokenizer from is missing, unreadable or not UTF-8."
    ),
    "TOK-020": CatalogueEntry(ExitCode.INPUT, "A tokenizer cannot be written to its folder."),
    "TOK-021": CatalogueEntry(
        ExitCode.INPUT, "A row or id list on standard input is not what the command reads."
    ),
    "TOK-022": CatalogueEntry(ExitCode.INPUT, "A folder holds no tokenizer that was learned from a recipe."),
    "SAF-001": CatalogueEntry(ExitCode.USAGE, "A safety policy was asked about a stage that does not exist."),
    "SAF-002": CatalogueEntry(ExitCode.INPUT, "The path to scan for secrets does not exist."),
    "SAF-003": CatalogueEntry(ExitCode.USAGE, "A safety policy switches off a rule that it does not have."),
    "TEL-001": CatalogueEntry(ExitCode.USAGE, "The setting of telemetry.system_metrics does not exist."),
    "TEL-002": CatalogueEntry(ExitCode.INPUT, "System metrics could not be written; the run itself went on."),
    "TEL-003": CatalogueEntry(ExitCode.INPUT, "A metric writer received something that is no number."),
    "TEL-004": CatalogueEntry(ExitCode.MISSING, "The library of a metric writer is not installed."),
    "RUN-001": CatalogueEntry(
        ExitCode.INPUT, "The run directory exists already; a run never writes over another one."
    ),
    "RUN-002": CatalogueEntry(ExitCode.INPUT, "The run directory cannot be written, so nothing was started."),
    "RUN-003": CatalogueEntry(ExitCode.ARTEFACT, "Another process works on the run; host and pid are named."),
    "RUN-004": CatalogueEntry(ExitCode.INPUT, "A reference names no run, or a folder that is none."),
    "RUN-005": CatalogueEntry(ExitCode.USAGE, "A reference fits several runs."),
    "RUN-006": CatalogueEntry(ExitCode.INPUT, "There is nothing to resume."),
    "RUN-007": CatalogueEntry(ExitCode.USAGE, "A resume asks for a change that makes it another run."),
    "RUN-008": CatalogueEntry(ExitCode.NO, "The disk became full while the run was going on."),
    "RUN-009": CatalogueEntry(ExitCode.ARTEFACT, "A file of the run directory is not what Codex wrote."),
    "RUN-011": CatalogueEntry(ExitCode.NO, "The run ran out of memory."),
    "RUN-012": CatalogueEntry(ExitCode.ARTEFACT, "The prepared data is not what the lock of the run names."),
    "RUN-013": CatalogueEntry(
        ExitCode.OK, "The machine or the installed versions differ from those of the lock."
    ),
    "RUN-014": CatalogueEntry(
        ExitCode.OK, "Rows did not reach the metric writers in time; the journal holds them."
    ),
    "RUN-015": CatalogueEntry(ExitCode.OK, "The progress display failed and was switched off."),
    "RUN-016": CatalogueEntry(ExitCode.OK, "The environment of the run could not be written."),
    "RUN-017": CatalogueEntry(ExitCode.OK, "The attempt before this one ended without a last record."),
    "RUN-018": CatalogueEntry(
        ExitCode.NO, "The run directory could not be written while the run was going on."
    ),
    "RUN-019": CatalogueEntry(ExitCode.INPUT, "The prepared data of a run is not in the store."),
    "RUN-020": CatalogueEntry(ExitCode.ARTEFACT, "The lock of a run has the format of another version."),
    "RUN-021": CatalogueEntry(
        ExitCode.ARTEFACT, "Something in a run directory is not what the run wrote there."
    ),
    "RUN-022": CatalogueEntry(
        ExitCode.INPUT, "A document that is to be left out is not in the training data of the run."
    ),
    "RUN-023": CatalogueEntry(
        ExitCode.NO, "A training was rolled back as often as it may be, or nothing could be left out."
    ),
    "RUN-024": CatalogueEntry(
        ExitCode.CAPABILITY, "This machine cannot repeat the numbers of a run: entries of its lock differ."
    ),
    "RUN-025": CatalogueEntry(ExitCode.USAGE, "An entry that is allowed to differ does not differ."),
    "RUN-026": CatalogueEntry(
        ExitCode.INPUT, "The data of a run is not in the store and cannot be prepared again from its sources."
    ),
    "RUN-027": CatalogueEntry(
        ExitCode.CAPABILITY,
        "The environment changes how many threads compute, so that numbers cannot repeat.",
    ),
    "RUN-029": CatalogueEntry(
        ExitCode.OK, "A step was passed over: everything to learn from in its rows is left out of the run."
    ),
    "RUN-030": CatalogueEntry(
        ExitCode.OK, "A run computes with more threads than this process has processors."
    ),
    "RUN-031": CatalogueEntry(ExitCode.OK, "The disk has less room than the checkpoints of a run may take."),
    "RUN-028": CatalogueEntry(ExitCode.USAGE, "An option goes with a resume only."),
    "JRN-001": CatalogueEntry(ExitCode.ARTEFACT, "The journal was altered after it was written."),
    "JRN-002": CatalogueEntry(
        ExitCode.OK, "The journal has a torn or unreadable line, which was passed over."
    ),
    "CKP-001": CatalogueEntry(ExitCode.INPUT, "There is no checkpoint at this place."),
    "CKP-002": CatalogueEntry(ExitCode.ARTEFACT, "A file of a checkpoint is damaged, missing or foreign."),
    "CKP-003": CatalogueEntry(ExitCode.ARTEFACT, "A checkpoint has the format of another version."),
    "CKP-004": CatalogueEntry(ExitCode.NO, "A checkpoint could not be written."),
    "CKP-005": CatalogueEntry(ExitCode.ARTEFACT, "No checkpoint of the run verifies."),
    "CKP-006": CatalogueEntry(
        ExitCode.OK, "A folder among the checkpoints was removed, moved aside or could not be pruned."
    ),
    "CKP-007": CatalogueEntry(
        ExitCode.ARTEFACT, "A checkpoint belongs to another run, or to other data or components."
    ),
    "CKP-008": CatalogueEntry(
        ExitCode.ARTEFACT, "A checkpoint that does not verify was moved to the folder `quarantine`."
    ),
    "CKP-009": CatalogueEntry(ExitCode.INPUT, "A model cannot be exported to this place."),
    "CKP-010": CatalogueEntry(ExitCode.USAGE, "What was to be pinned is not a checkpoint of a run."),
    "MOD-001": CatalogueEntry(
        ExitCode.ARTEFACT, "A model folder cannot be read: files are missing, cut short or of another format."
    ),
    "MOD-002": CatalogueEntry(
        ExitCode.ARTEFACT, "Tensors are missing, left over, or of another shape or type than the model's."
    ),
    "MOD-003": CatalogueEntry(ExitCode.CAPABILITY, "The device that was asked for does not exist here."),
    "MOD-004": CatalogueEntry(ExitCode.USAGE, "A device or a dtype is misspelt."),
    "MOD-005": CatalogueEntry(ExitCode.INPUT, "A row or prompt is empty or longer than the model's context."),
    "MOD-006": CatalogueEntry(ExitCode.INPUT, "A row or prompt holds ids outside the model's vocabulary."),
    "MOD-007": CatalogueEntry(
        ExitCode.INPUT,
        "A directory of model files lacks some, or holds some that are never used: pickles and code.",
    ),
    "MOD-008": CatalogueEntry(
        ExitCode.INPUT,
        "A directory holds an architecture, or settings of one, that the decoder does not compute.",
    ),
    "MOD-009": CatalogueEntry(
        ExitCode.INPUT, "The tensors of a directory are not those that its configuration describes."
    ),
    "MOD-010": CatalogueEntry(ExitCode.INPUT, "A tensor file of a directory is damaged or cannot be read."),
    "MOD-014": CatalogueEntry(
        ExitCode.INPUT, "The folder to take weights from holds no model, or one of another shape."
    ),
    "MOD-015": CatalogueEntry(ExitCode.USAGE, "The tokenizer has ids that the model does not know."),
    "MOD-030": CatalogueEntry(
        ExitCode.ARTEFACT, "The files of an adapter cannot be read, or do not belong together."
    ),
    "MOD-031": CatalogueEntry(
        ExitCode.ARTEFACT, "An adapter was trained on another base than the one at hand."
    ),
    "MOD-032": CatalogueEntry(ExitCode.USAGE, "The weights to adapt are an adapter themselves."),
    "MOD-033": CatalogueEntry(ExitCode.INPUT, "The base of an adapter is not where it was."),
    "MOD-034": CatalogueEntry(
        ExitCode.USAGE, "Muon was asked for with an adapter, which has no whole matrices."
    ),
    "MOD-035": CatalogueEntry(ExitCode.USAGE, "A base was named for a model that is no adapter."),
    "MOD-036": CatalogueEntry(
        ExitCode.NO, "A merged or exported adapter computes something else than it should."
    ),
    "MOD-037": CatalogueEntry(ExitCode.USAGE, "A model was to be merged that is no adapter."),
    "MOD-038": CatalogueEntry(ExitCode.USAGE, "peft cannot put an adapter at the targets that were named."),
    "MOD-011": CatalogueEntry(
        ExitCode.NO, "An exported model does not compute what it was exported from; nothing was left behind."
    ),
    "MOD-012": CatalogueEntry(ExitCode.INPUT, "The folder to write a model to exists or cannot be written."),
    "MOD-013": CatalogueEntry(ExitCode.USAGE, "The layout that was asked for cannot hold the model."),
    "MOD-016": CatalogueEntry(
        ExitCode.CAPABILITY, "The architecture of a directory cannot be trained the way that was asked for."
    ),
    "MOD-017": CatalogueEntry(
        ExitCode.INPUT, "The tokenizer of a model cannot be written as files that transformers loads."
    ),
    "MOD-018": CatalogueEntry(ExitCode.INPUT, "A model has no tokenizer, and one is needed."),
    "TRN-001": CatalogueEntry(ExitCode.NO, "A training step has no supervised token."),
    "TRN-002": CatalogueEntry(
        ExitCode.NO, "A loss or gradient is not finite; the update was not applied and training stopped."
    ),
    "TRN-003": CatalogueEntry(
        ExitCode.OK, "The first loss is far from that of an untrained model; training goes on."
    ),
    "TRN-004": CatalogueEntry(ExitCode.USAGE, "Training rows are longer than the model's context."),
    "TRN-005": CatalogueEntry(ExitCode.ARTEFACT, "A checkpoint holds the state of another trainer."),
    "TRN-006": CatalogueEntry(
        ExitCode.USAGE, "A resume would continue with another arithmetic than the run began with."
    ),
    "TRN-007": CatalogueEntry(
        ExitCode.CAPABILITY, "The precision or the compilation that was asked for is not possible here."
    ),
    "TRN-008": CatalogueEntry(
        ExitCode.NO,
        "A loss or gradient is not finite, and the run is to go on from before it without its rows.",
    ),
    "TRN-009": CatalogueEntry(
        ExitCode.CAPABILITY, "The exactness level cannot be held on this machine or with these options."
    ),
    "TRN-010": CatalogueEntry(
        ExitCode.USAGE,
        "Options of the trainer ask something of the model or the evaluation that it does not offer.",
    ),
    "TRN-011": CatalogueEntry(
        ExitCode.OK, "Checkpoints are not written beside the training: a copy of what is saved would not fit."
    ),
    "TRN-012": CatalogueEntry(
        ExitCode.OK, "A step ran out of memory and was computed again with fewer rows at once."
    ),
    "RUN-010": CatalogueEntry(
        ExitCode.INTERRUPTED, "A signal stopped the command; the last finished step was saved."
    ),
    "BUG-001": CatalogueEntry(ExitCode.BUG, "Codex itself failed; the crash file tells where."),
}
