"""The scripts of `completion`, a shell each. `PROGRAM` and `COMPLETE` are filled in.

All do the same: hand the line up to the cursor to the program, and offer what it answers (the
protocol is told in `kvorum.cli.shared.completion`). The program is called as it was typed.
"""

from __future__ import annotations

from typing import Final

BASH: Final = r"""# Completion of PROGRAM for bash. Load it with: source <(PROGRAM completion bash)

_PROGRAM_complete() {
    local line="${COMP_LINE:0:COMP_POINT}" answer row word prefix=""
    answer="$("${COMP_WORDS[0]}" COMPLETE "$line" 2>/dev/null)" || return 0
    COMPREPLY=()
    # bash cuts words at "=" and ":": what stands before the last of them must not be offered again.
    local typed="${line##*[[:space:]]}"
    if [[ "$typed" == *[=:]* && "$COMP_WORDBREAKS" == *[=:]* ]]; then
        prefix="${typed%"${typed##*[=:]}"}"
    fi
    while IFS= read -r row; do
        case "$row" in
            :none) ;;
            :files)
                # Without words of ours, bash completes names of files as it always does.
                compopt -o default
                ;;
            *)
                word="${row%%$'\t'*}"
                COMPREPLY+=("${word#"$prefix"}")
                ;;
        esac
    done <<< "$answer"
}

complete -F _PROGRAM_complete PROGRAM
"""

ZSH: Final = r"""#compdef PROGRAM
# Completion of PROGRAM for zsh. Load it after compinit with: source <(PROGRAM completion zsh)

_PROGRAM() {
    local answer row word meaning files=0
    local -a words_only described
    answer="$("${words[1]}" COMPLETE "${LBUFFER}" 2>/dev/null)" || return 1
    for row in "${(@f)answer}"; do
        case "$row" in
            :none|"") ;;
            :files) files=1 ;;
            *$'\t'*)
                word="${row%%$'\t'*}"
                meaning="${row#*$'\t'}"
                described+=("${word//:/\\:}:${meaning}")
                ;;
            *) words_only+=("$row") ;;
        esac
    done
    (( ${#described} )) && _describe 'PROGRAM' described
    (( ${#words_only} )) && compadd -a words_only
    if (( files )); then
        compset -P '*='
        _files
    fi
}

compdef _PROGRAM PROGRAM
"""

FISH: Final = r"""# Completion of PROGRAM for fish. Load it with: PROGRAM completion fish | source

function __PROGRAM_complete
    set -l line (commandline -cp)
    set -l current (commandline -ct)
    for row in (PROGRAM COMPLETE "$line" 2>/dev/null)
        switch $row
            case ':none'
            case ':files'
                set -l value (string replace -r '^--[^=]*=' '' -- $current)
                set -l prefix (string match -r '^--[^=]*=' -- $current)
                for file in (__fish_complete_path "$value")
                    echo -- "$prefix$file"
                end
            case '*'
                echo -- $row
        end
    end
end

complete -c PROGRAM -f -a '(__PROGRAM_complete)'
"""

POWERSHELL: Final = r"""# Completion of PROGRAM for PowerShell.
# Load it with: PROGRAM completion powershell | Out-String | Invoke-Expression

Register-ArgumentCompleter -Native -CommandName 'PROGRAM' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $line = $commandAst.Extent.Text
    $line = $line.PadRight($cursorPosition).Substring(0, $cursorPosition)
    foreach ($row in (& 'PROGRAM' 'COMPLETE' $line 2>$null)) {
        if ($row -eq ':none') { continue }
        if ($row -eq ':files') {
            $prefix = if ($wordToComplete -match '^--[^=]*=') { $Matches[0] } else { '' }
            $value = $wordToComplete.Substring($prefix.Length)
            Get-ChildItem -Path "$value*" -ErrorAction SilentlyContinue | ForEach-Object {
                $name = $prefix + (Resolve-Path -Relative -LiteralPath $_.FullName)
                [System.Management.Automation.CompletionResult]::new($name)
            }
            continue
        }
        $parts = $row -split "`t", 2
        $meaning = if ($parts.Count -gt 1 -and $parts[1]) { $parts[1] } else { $parts[0] }
        [System.Management.Automation.CompletionResult]::new(
            $parts[0], $parts[0], 'ParameterValue', $meaning)
    }
}
"""

SCRIPTS: Final = {"bash": BASH, "zsh": ZSH, "fish": FISH, "powershell": POWERSHELL}
