# bash completion for lapse(8). The program itself says what may follow: its tables of commands and options are the only list there is.

_lapse()
{
	local current=${COMP_WORDS[COMP_CWORD]} answer
	local -a answers
	COMPREPLY=()
	mapfile -t answers < <("${COMP_WORDS[0]}" --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
	for answer in "${answers[@]}"; do
		case $answer in
		@file) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$current") && compopt -o filenames ;;
		@dir) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$current") && compopt -o filenames ;;
		@none) ;;
		*) COMPREPLY+=("$answer") ;;
		esac
	done
}
complete -F _lapse lapse
