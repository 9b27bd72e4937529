"""What a campaign is for: tables, figures and the generated reference pages. The only room with pandas and matplotlib."""
