package main

import (
	"io"

	"github.com/spf13/cobra"

	"lunamq/scripting"
)

func luaTypesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "lua-types",
		Short: "Print the definitions of the script API for editors (LuaLS)",
		Long: `Print the definitions of the script API for the Lua language server, which
many editors use. A file lunamq.d.lua may stand beside the rules: names in .d.lua
are never loaded.`,
		Example: `  lunamq lua-types > lunamq.d.lua`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), scripting.LuaTypes())
			return err
		},
	}
}
