# --test all transport::openssh::records::a_timeout_ends_the_whole_tree
# templates/remote/runner.sh
# A kill goes to the first process, and nobody looks whether anything is left.
/^finish() {/,/^}/s/^  sweep$/  whole "$d\/pid"; kill -TERM "${line%% *}"; left=/
