"""Templates of plugin packages, one folder per kind: data that `registry_new` fills in, never imported.

`$dist`, `$package`, `$name`, `$kind` and `$summary` are filled in; `test_*` goes to `tests`, `usage.md` into the
README, everything else into the package. Models and trainers share one folder, because neither works alone.
"""
